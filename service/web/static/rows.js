/** Many rows at once: pasted, dropped or chosen as a file, shown with their predictions and kept as CSV. */

import { ask } from "./ask.js";
import { parse, write } from "./csv.js";
import { element, isolated, table } from "./elements.js";
import { written } from "./written.js";

const ROWS_SHOWN = 20;
const WARNINGS_SHOWN = 10;

/** Make the place where a model takes a table. */
export function rows(model) {
    const view = makeView(model);
    view.predict.addEventListener("click", () => predict(model, view, view.text.value));
    view.example.addEventListener("click", () => { view.text.value = example(model); });
    view.file.addEventListener("change", () => predictFile(model, view, view.file.files[0]));
    view.text.addEventListener("dragover", (event) => event.preventDefault());
    view.text.addEventListener("drop", (event) => {
        if (!event.dataTransfer.files.length) return;
        event.preventDefault();
        predictFile(model, view, event.dataTransfer.files[0]);
    });
    return view.element;
}

function makeView(model) {
    const [textId, fileId] = [`${model.name}-rows`, `${model.name}-file`];
    const text = element("textarea", { id: textId, rows: 6, spellcheck: "false", autocomplete: "off", wrap: "off" });
    const file = element("input", { type: "file", id: fileId, accept: ".csv,.tsv,.txt,text/csv" });
    const predict = element("button", { type: "button" }, "Predict rows");
    const sample = element("button", { type: "button", class: "plain" }, "Put in the example");
    const result = element("div", { class: "result" });
    const status = element("p", { role: "status" });
    const whole = element(
        "div",
        { class: "rows" },
        element("label", { for: textId }, "Paste rows below the names of their fields, or drop a CSV here"),
        text,
        element("p", { class: "buttons" }, predict, sample, element("label", { for: fileId }, "or a file"), file),
        status,
        result,
    );
    return { element: whole, text, file, predict, example: sample, status, result };
}

function example(model) {
    const { features } = model;
    return write([features.map((feature) => feature.name), features.map((feature) => feature.example ?? "")]);
}

async function predictFile(model, view, file) {
    if (!file) return;
    const text = decoded(await file.arrayBuffer());
    view.file.value = "";
    if (text === null) refuse(view, new Error(`${file.name} is not a text in UTF-8: save it as "CSV UTF-8"`));
    else await predict(model, view, text);
}

function decoded(bytes) {
    try {
        return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
        return null;
    }
}

async function predict(model, view, text) {
    try {
        const [head, ...lines] = parse(text);
        if (!lines.length) throw new Error("there is no row below the names of the fields");
        view.status.textContent = `Predicting ${counted(lines.length)} …`;
        const reply = await ask(`/models/${model.name}/predict`, write([head, ...lines]), { type: "text/csv" });
        show(model, view, head, lines, reply);
    } catch (error) {
        refuse(view, error);
    }
}

function show(model, view, head, lines, reply) {
    view.status.textContent = `${counted(lines.length)} predicted by ${reply.model} version ${reply.version}.`;
    view.result.replaceChildren(
        element("p", {}, download(model, view, head, lines, reply.predictions)),
        ...warned(reply.warnings ?? []),
        firstRows(model, head, lines, reply.predictions),
    );
}

function download(model, view, head, lines, predictions) {
    let column = "prediction";
    while (head.includes(column)) column += "_";
    const content = write([[...head, column], ...lines.map((cells, at) => [...cells, predictions[at]])]);
    URL.revokeObjectURL(view.kept);
    view.kept = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
    const name = `${model.name}-predictions.csv`;
    return element("a", { class: "button", href: view.kept, download: name }, "Download all as CSV");
}

function firstRows(model, head, lines, predictions) {
    const names = ["row", element("span", {}, "predicted ", isolated(model.target.name)), ...head.map(isolated)];
    const shown = lines.slice(0, ROWS_SHOWN).map((cells, at) => [
        String(at + 1), element("b", {}, isolated(written(predictions[at]))), ...cells.map(isolated),
    ]);
    const caption = lines.length > ROWS_SHOWN ? `The first ${ROWS_SHOWN} of ${counted(lines.length)}` : "All rows";
    return scrolled(`${model.name}: rows with predictions`, table(caption, [names, ...shown]));
}

function scrolled(label, content) {
    return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, content);
}

function warned(warnings) {
    if (!warnings.length) return [];
    const shown = warnings.slice(0, WARNINGS_SHOWN).map(problem);
    const more = warnings.length - shown.length;
    if (more) shown.push(element("li", {}, `and ${more} more.`));
    return [element("ul", { class: "warnings" }, ...shown)];
}

function refuse(view, error) {
    view.status.textContent = `No predictions: ${error.message}.`;
    view.result.replaceChildren(element("ul", { class: "warnings" }, ...(error.problems ?? []).map(problem)));
}

function problem({ row, field, reason }) {
    const place = typeof row === "number" ? `Row ${row + 1}${field ? ", " : ""}` : "";
    const column = field ? ["column ", element("b", {}, isolated(field))] : [];
    return element("li", {}, place, ...column, ` ${reason}.`);
}

const counted = (count) => (count === 1 ? "1 row" : `${count.toLocaleString("en")} rows`);
