/* Conveniences only: every page works without them. */
"use strict";

for (const form of document.querySelectorAll("form[data-once]")) {
  // A second click would get the second answer, in which the key is not shown any more.
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("button[type=submit]")) {
      button.disabled = true;
    }
  });
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (navigator.clipboard) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }
}

for (const region of document.querySelectorAll(".results, .inline-group, .tb-scroll")) {
  // What scrolls sideways can be scrolled by keyboard.
  if (region.scrollWidth > region.clientWidth) {
    region.tabIndex = 0;
  }
}
