/* Keys: "j" and "k" go through the rows of a list or of search results, "Enter" opens one, "?" shows what there is. */
"use strict";

(() => {
  const rows = [...document.querySelectorAll("#result_list tbody tr, .tb-found li, .tb-timeline li")].filter((row) => row.querySelector("a"));
  const dialog = document.querySelector("dialog.tb-shortcuts");
  let at = -1;

  function go(step) {
    if (!rows.length) {
      return;
    }
    rows[at]?.classList.remove("tb-here");
    at = Math.min(Math.max(at + step, 0), rows.length - 1);
    rows[at].classList.add("tb-here");
    const link = rows[at].querySelector("th a, a");
    link.focus({ preventScroll: true });
    rows[at].scrollIntoView({ block: "nearest" });
  }

  function follow(relation) {
    const shown = document.querySelector(".paginator .this-page");
    const beside = relation === "next" ? shown?.nextElementSibling : shown?.previousElementSibling;
    const link = document.querySelector(`a[rel="${relation}"]`) ?? (beside?.matches("a") ? beside : null);
    link?.click();
  }

  const keys = {
    j: () => go(1),
    k: () => go(-1),
    n: () => follow("next"),
    p: () => follow("prev"),
    "?": () => dialog?.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    const on = event.target;
    const writes = on.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(on.tagName);
    if (writes || event.ctrlKey || event.metaKey || event.altKey || dialog?.open || !Object.hasOwn(keys, event.key)) {
      return;
    }
    event.preventDefault();
    keys[event.key]();
  });

  // On a telephone the rows of a list are cards, whose cells name their columns.
  const list = document.querySelector("#result_list");
  if (list?.tHead) {
    const names = [...list.tHead.rows[0].cells].map((cell) => cell.querySelector(".text")?.textContent.trim() ?? "");
    for (const row of list.tBodies[0].rows) {
      [...row.cells].forEach((cell, place) => {
        if (!cell.classList.contains("action-checkbox")) {
          cell.dataset.column = names[place] ?? "";
          cell.toggleAttribute("data-without", ["", "-", "–"].includes(cell.textContent.trim()) && !cell.querySelector("img"));
        }
      });
    }
    list.classList.add("tb-cards");
  }
})();
