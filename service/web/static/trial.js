/** The form of a model: one row in, everything the service says of it out. */

import * as answer from "./answer.js";
import { ask } from "./ask.js";
import { copyable, curl, python } from "./code.js";
import { element, finder, folded } from "./elements.js";
import { fieldOf } from "./fields.js";

const MANY_FIELDS = 20;
const PAUSE = 250; // milliseconds, in which a click that left a field can arrive where it was aimed
const NO_ROUTE = [404, 405, 409, 501];

/** Make the form of a model, filled in with its example and already answered. */
export function trial(model) {
    const fields = model.features.map((feature, at) => fieldOf(feature, `${model.name}-field-${at}`));
    const view = makeView(model, fields);
    const question = { model, fields, view, address: address(model), explained: "" };
    view.form.addEventListener("submit", (event) => {
        event.preventDefault();
        predict(question, true);
    });
    view.form.addEventListener("change", () => {
        clearTimeout(question.pause);
        question.pause = setTimeout(() => predict(question, false), PAUSE);
    });
    predict(question, false);
    return view.element;
}

function address(model) {
    const parts = [model.target.classes.length && "probabilities", model.coverage && "interval"].filter(Boolean);
    const include = parts.length ? `?include=${parts.join(",")}` : "";
    return `${location.origin}/models/${model.name}/predict${include}`;
}

function makeView(model, fields) {
    const headline = element("p", { class: "headline", role: "status" });
    const many = fields.length > MANY_FIELDS;
    const inputs = element("div", { class: many ? "fields many" : "fields" }, ...fields.map((field) => field.element));
    const search = many ? [searchOf(model, fields)] : [];
    const told = "An example is filled in. Below each field is the range that training saw.";
    const button = element("button", { type: "submit" }, "Predict");
    const content = [element("p", { class: "soft" }, told), ...search, inputs, button];
    const form = element("form", { novalidate: true, "aria-label": `one row for ${model.name}` }, ...content);
    const details = element("div", { class: "details" });
    const [shell, program] = [copyable("curl"), copyable("Python")];
    const code = folded("The same with curl or Python", () => element("div", {}, shell.element, program.element));
    const answered = element("div", { class: "answer" }, details, code);
    const whole = element("div", { class: "trial" }, headline, form, answered);
    return { element: whole, form, headline, details, shell, program };
}

function searchOf(model, fields) {
    const id = `${model.name}-find`;
    return finder(`Find one of ${fields.length} fields`, id, () => fields.map((field) => [field.element, field.name]));
}

async function predict(question, submitted) {
    clearTimeout(question.pause);
    question.asking?.abort();
    const { signal } = (question.asking = new AbortController());
    question.view.details.setAttribute("aria-busy", "true");
    try {
        const row = read(question.fields);
        write(question, row);
        const body = JSON.stringify({ instances: [row] });
        show(question, await ask(question.address, body, { signal }));
        question.view.details.append(await explanation(question, row, body, signal));
    } catch (error) {
        if (error.name === "AbortError") return;
        refuse(question, error, submitted);
    }
    question.view.details.removeAttribute("aria-busy");
}

class Unreadable extends Error {
    problems = [];
}

function read(fields) {
    const wrong = fields.map((field) => ({ field: field.name, reason: field.wrong() })).filter(({ reason }) => reason);
    if (wrong.length) throw Object.assign(new Unreadable(`${wrong[0].field} ${wrong[0].reason}`), { problems: wrong });
    // Unlike an assignment this holds a feature called __proto__ too.
    return Object.fromEntries(fields.map((field) => [field.name, field.read()]));
}

function write({ view, address: to }, row) {
    view.shell.code.textContent = curl(to, row);
    view.program.code.textContent = python(to, row);
}

function show({ model, fields, view }, reply) {
    for (const field of fields) field.tell("");
    view.headline.replaceChildren(...answer.headline(model.target, reply.predictions[0]));
    view.details.replaceChildren(...parts(model, reply));
}

function parts(model, reply) {
    const { target } = model;
    return [
        reply.warnings?.length && answer.warnings(reply.warnings),
        reply.probabilities && answer.probabilities(reply.probabilities[0]),
        reply.interval
            ? answer.interval(target, reply.interval[0], model.coverage.default)
            : answer.part("How sure", "This version was not calibrated, so it gives no interval."),
    ].filter(Boolean);
}

async function explanation(question, row, body, signal) {
    const { model } = question;
    try {
        if (question.unexplained) return question.unexplained;
        const reply = await ask(`/models/${model.name}/explain`, body, { signal });
        return answer.contributions(model.target, reply.explanations[0], row);
    } catch (error) {
        if (error.name === "AbortError") throw error;
        const told = answer.part("Contributions", `There are none: ${error.message}.`);
        if (NO_ROUTE.includes(error.status)) question.unexplained = told;
        return told;
    }
}

function refuse({ fields, view }, error, submitted) {
    const reasons = new Map(error.problems?.map(({ field, reason }) => [field, reason]));
    for (const field of fields) field.tell(reasons.get(field.name) ?? "");
    const wrong = fields.filter((field) => reasons.has(field.name));
    view.headline.replaceChildren(element("span", { class: "refusal" }, sentence(error, wrong.length)));
    view.details.replaceChildren();
    for (const field of wrong) field.element.hidden = false;
    if (submitted) wrong[0]?.focus();
}

function sentence(error, count) {
    if (count) return `No prediction: ${count === 1 ? "one field needs" : `${count} fields need`} another value.`;
    return `No prediction: ${error.message}.`;
}
