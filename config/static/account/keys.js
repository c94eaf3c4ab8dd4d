/* Passkeys: asks the browser for one and sends what it says. The options come as data of the page. */
"use strict";

for (const form of document.querySelectorAll("form[data-key]")) {
  const button = form.querySelector("[data-key-button]");
  const credential = form.querySelector("input[name=credential]");
  const failed = document.getElementById("key_failed");
  form.addEventListener("submit", (event) => {
    if (!credential.value) {
      event.preventDefault();
      button.click();
    }
  });
  button.addEventListener("click", async () => {
    const data = JSON.parse(document.getElementById("js_data").textContent);
    failed.hidden = true;
    button.disabled = true;
    try {
      const made = form.dataset.key === "create"
        ? await webauthnJSON.create(data.creation_options)
        : await webauthnJSON.get(data.request_options);
      credential.value = JSON.stringify(made);
      form.submit();
    } catch {
      failed.hidden = false;
      button.disabled = false;
    }
  });
}
