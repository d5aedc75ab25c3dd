/** One labelled input for each feature. */

import { element, isolated } from "./elements.js";
import { unit, written } from "./written.js";

const OTHER = Symbol("another category");
const CONTROLS = { number, boolean: truth, date, category };

/**
 * Make the field of a feature: `element` to show, `read()` the value as JSON has it, `wrong()` why it cannot be read,
 * `tell(reason)` what is wrong with it, `focus()`.
 */
export function fieldOf(feature, id) {
    const control = CONTROLS[feature.kind](feature, id);
    const error = element("p", { class: "error", id: `${id}-error`, hidden: true });
    const hint = element("p", { class: "hint", id: `${id}-hint` }, ...hints(feature));
    const measure = element("span", { class: "unit" }, unit(feature.unit));
    const label = element("label", { for: id }, isolated(feature.name), measure);
    const below = element("div", {}, error, hint);
    return {
        name: feature.name,
        element: element("div", { class: "field" }, label, element("div", {}, ...control.inputs), below),
        read: control.read,
        wrong: control.wrong ?? (() => ""),
        focus: () => control.inputs.findLast((input) => !input.hidden).focus(),
        tell: (reason) => tell(control.inputs, error, hint, reason),
    };
}

function tell(inputs, error, hint, reason) {
    error.textContent = reason;
    error.hidden = !reason;
    for (const input of inputs) {
        input.setAttribute("aria-describedby", reason ? `${error.id} ${hint.id}` : hint.id);
        if (reason) input.setAttribute("aria-invalid", "true");
        else input.removeAttribute("aria-invalid");
    }
}

function hints(feature) {
    const range = feature.min === null ? "" : [feature.min, feature.max].map(bound).join(" to ");
    const may = feature.nullable ? "may be missing" : "";
    const told = [range, may].filter(Boolean).join(", ");
    return [told, told && feature.meaning ? " · " : "", isolated(feature.meaning)];
}

/** A number, or a date to the minute. */
function bound(limit) {
    return typeof limit === "string" ? limit.slice(0, 16).replace("T", " ") : written(limit);
}

function described(feature, id) {
    return { id, required: !feature.nullable, autocomplete: "off", "aria-describedby": `${id}-hint` };
}

function number(feature, id) {
    const input = element("input", { ...described(feature, id), type: "number", step: "any", value: feature.example });
    return {
        inputs: [input],
        read: () => (input.value === "" ? null : Number(input.value)),
        wrong: () => (input.validity.badInput ? "must be a number" : ""),
    };
}

function date(feature, id) {
    const timed = [feature.example, feature.min, feature.max].some((text) => text && text.length > "2024-05-01".length);
    // An input holds no more than milliseconds, and no offset: the manifest's dates are in UTC and have none.
    const value = timed ? feature.example?.slice(0, 23).replace(" ", "T") : feature.example;
    const type = timed ? "datetime-local" : "date";
    const input = element("input", { ...described(feature, id), type, step: timed && "any", max: "9999-12-31", value });
    return {
        inputs: [input],
        read: () => input.value || null,
        wrong: () => (input.validity.badInput ? "must be a whole date" : ""),
    };
}

function truth(feature, id) {
    return menu(feature, id, [["true", true], ["false", false]]);
}

function category(feature, id) {
    const seen = feature.categories.map((name) => [name === name.trim() && name ? name : JSON.stringify(name), name]);
    const known = feature.categories.includes(feature.example);
    const chosen = known || feature.example === null ? feature.example : OTHER;
    const select = menu(feature, id, [...seen, ["other…", OTHER]], chosen);
    const named = { "aria-label": `another value of ${feature.name}`, "aria-describedby": `${id}-hint` };
    const other = element("input", { ...named, autocomplete: "off", value: chosen === OTHER && feature.example });
    const fit = () => { other.hidden = select.read() !== OTHER; };
    select.inputs[0].addEventListener("change", fit);
    fit();
    return { inputs: [...select.inputs, other], read: () => (select.read() === OTHER ? other.value : select.read()) };
}

function menu(feature, id, choices, chosen = feature.example) {
    // Values are places in the list: a category may have any name, "missing" and "other…" among them.
    const all = feature.nullable || chosen === null ? [...choices, ["missing", null]] : choices;
    const options = all.map(([text, value], at) => element("option", { value: at, selected: value === chosen }, text));
    const select = element("select", described(feature, id), ...options);
    return { inputs: [select], read: () => all[select.value][1] };
}
