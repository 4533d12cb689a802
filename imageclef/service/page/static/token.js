// The dialog that asks for the service's token, where it wants one.

import { enter } from "./api.js";

export class TokenDialog {
  constructor(dialog, entered) {
    this.dialog = dialog;
    const field = dialog.querySelector("#token"), message = dialog.querySelector("#token-message");
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.querySelector("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await enter(field.value);
        field.value = "";
        message.hidden = true;
        dialog.close();
        entered();
      } catch (error) {
        message.textContent = error.message;
        message.hidden = false;
      }
    });
  }

  get open() { return this.dialog.open; }
  ask() { if (!this.open) this.dialog.showModal(); }
}
