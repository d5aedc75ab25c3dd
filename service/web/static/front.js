/** The front page comes alive: each model gets a form and a place for tables, made when they are opened. */

import { ask } from "./ask.js";
import { element, finder, folded } from "./elements.js";
import { rows } from "./rows.js";
import { trial } from "./trial.js";

const MANY_MODELS = 5;
const sections = [...document.querySelectorAll("[data-model]")];

sections.forEach(addParts);
if (sections.length > MANY_MODELS) addFinder();

function addParts(section, at) {
    const address = `/models/${section.dataset.model}`;
    let description;
    const described = () => (description ??= ask(address));
    const part = (title, make, open) => folded(title, () => waiting(described, make), open);
    section.querySelector(".parts").prepend(part("Try it", trial, at === 0), part("Predict a table", rows, false));
}

function waiting(described, make) {
    const place = element("div", {}, element("p", { class: "soft" }, "Loading …"));
    described().then((model) => place.replaceChildren(make(model)), (error) => place.replaceChildren(error.message));
    return place;
}

function addFinder() {
    const shownAs = () => sections.map((section) => [section, section.dataset.model]);
    sections[0].before(finder(`Find one of ${sections.length} models`, "find-model", shownAs));
}
