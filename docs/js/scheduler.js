// "You are the scheduler": loads the laboratory's schedules, puts the toy on the page.
//
// Without JavaScript, or without the data, what the page says instead stays there.

import { Lab } from "./scheduler/model.js";
import { Toy } from "./scheduler/toy.js";

const home = document.getElementById("scheduler");

async function load() {
  const address = new URL("../scheduler.json", import.meta.url);
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address} answers ${response.status}`);
  return new Lab(await response.json());
}

if (home) {
  try {
    new Toy(await load()).mount(home);
  } catch (error) {
    const sorry = document.createElement("p");
    sorry.textContent =
      "The schedules could not be loaded. The table below still holds.";
    home.replaceChildren(sorry);
    throw error;
  }
}
