/** What the service answered for one row: prediction, probabilities, interval or set, contributions, warnings. */

import { element, folded, isolated, table } from "./elements.js";
import { percent, signed, unit, written } from "./written.js";

const CLASSES_SHOWN = 6;
const SET_SHOWN = 8;
const CONTRIBUTIONS_SHOWN = 10;

/** The prediction in large, with its unit. */
export function headline(target, prediction) {
    return [
        element("span", { class: "soft" }, "Predicted ", isolated(target.name)),
        element("data", { class: "prediction", value: String(prediction) }, isolated(written(prediction))),
        element("span", { class: "unit" }, unit(target.unit)),
    ];
}

/** The probabilities of the classes as bars, the most probable first. */
export function probabilities(shares) {
    const rows = Object.entries(shares).sort(([, one], [, other]) => other - one).map(([name, share]) => [
        isolated(name), bar(share), percent(share),
    ]);
    const chart = bars("Probability of each class", ["class", "", "probability"], rows, CLASSES_SHOWN, "bars shares");
    return part("Probabilities", chart);
}

/** The conformal interval of a number, or set of classes, as a sentence. */
export function interval(target, found, coverage) {
    const often = `In ${percent(coverage)} of such cases the true `;
    const words = target.classes.length ? among(found, target.classes.length) : between(found, target.unit);
    return part("How sure", element("p", { class: "interval" }, often, isolated(target.name), ...words));
}

function between([low, high], unitName) {
    return [` lies between ${written(low)} and ${written(high)}${unit(unitName)}.`];
}

function among(classes, all) {
    if (classes.length === all && all > 2) return [` may be any of the ${all} classes.`];
    const names = classes.slice(0, SET_SHOWN).flatMap((name, at) => [at ? ", " : "", element("b", {}, isolated(name))]);
    const more = classes.length > SET_SHOWN ? ` and ${classes.length - SET_SHOWN} more` : "";
    return [classes.length === 1 ? " is " : " is one of ", ...names, more, "."];
}

/** What each feature adds to the base, the largest first, and their sum. */
export function contributions(target, explanation, row) {
    const added = Object.entries(explanation.contributions);
    added.sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
    const largest = Math.abs(added[0]?.[1] ?? 0) || 1;
    const rows = added.map(([name, value]) => [
        feature(name, row[name]), bar(value / largest, "signed"), signed(value),
    ]);
    const chart = bars("What each feature adds", ["feature", "", "adds"], rows, CONTRIBUTIONS_SHOWN);
    return part("Contributions", element("p", { class: "sum" }, ...summed(target, explanation)), chart);
}

function summed(target, { base, class: named, contributions: added }) {
    const sum = Object.values(added).reduce((total, value) => total + value, base);
    const number = named === undefined;
    const what = number ? ["The prediction"] : ["The probability of ", element("b", {}, isolated(named))];
    const [from, to] = [base, sum].map((value) => element("b", {}, written(number ? value : Number(value.toFixed(4)))));
    const goes = [" goes from the base ", from, ", the mean over rows of training, to the sum ", to];
    return [...what, ...goes, number ? unit(target.unit) : "", "."];
}

function feature(name, value) {
    return element("span", {}, isolated(name), element("span", { class: "soft" }, " ", isolated(value ?? "missing")));
}

/** What the service warned of, in the words of the service. */
export function warnings(found) {
    const told = found.map(({ field, value, reason }) =>
        element("li", {}, element("b", {}, isolated(field)), ` ${written(value ?? "")} ${reason}.`),
    );
    return part("Warnings", element("ul", { class: "warnings" }, ...told));
}

/** A titled part of the answer. */
export function part(title, ...content) {
    return element("section", { class: "part" }, element("h3", {}, title), ...content);
}

function bars(caption, head, rows, count, kind = "bars") {
    const shown = (some) => table(caption, [head, ...some], { class: kind });
    const rest = rows.slice(count);
    const more = rest.length ? [folded(`${rest.length} smaller`, () => shown(rest))] : [];
    return element("div", {}, shown(rows.slice(0, count)), ...more);
}

function bar(share, kind = "") {
    const filled = element("span", { class: share < 0 ? "filled minus" : "filled" });
    filled.style.setProperty("--share", Math.abs(share));
    return element("span", { class: `bar ${kind}`, "aria-hidden": "true" }, filled);
}
