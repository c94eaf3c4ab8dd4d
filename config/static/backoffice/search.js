/* "/" leads to the search from anywhere on a page, unless somebody is writing. */
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const at = event.target;
  if (at.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName)) {
    return;
  }
  const field = document.querySelector("input[data-shortcut='/']");
  if (field) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});
