/** Elements of the page. What comes from outside is put in as text, never as markup. */

/** Make an element; attributes that are false or null are left out, true ones are empty. */
export function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if ((value ?? false) !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
}

/** A text from outside: its writing direction ends where it ends. */
export const isolated = (text) => element("bdi", {}, String(text));

/** A folded part whose content is made when it is first opened. */
export function folded(title, make, open = false) {
    const part = element("details", {}, element("summary", {}, title));
    const fill = () => part.open && part.childElementCount === 1 && part.append(make());
    part.addEventListener("toggle", fill);
    part.open = open;
    return part;
}

/** A table of rows of cells (texts or elements), whose first row is its head. */
export function table(caption, [head, ...rows], attributes = {}) {
    const line = (cells, name, given) => element("tr", {}, ...cells.map((cell) => element(name, given, cell)));
    return element(
        "table",
        attributes,
        element("caption", {}, caption),
        element("colgroup", {}, ...head.map(() => element("col"))),
        element("thead", {}, line(head, "th", { scope: "col" })),
        element("tbody", {}, ...rows.map((row) => line(row, "td", {}))),
    );
}

/** Whether one shows what was typed into the other: a field that hides the rest of a long list. */
export function finder(label, id, shownAs) {
    const input = element("input", { type: "search", id });
    input.addEventListener("input", () => {
        const wanted = input.value.trim().toLowerCase();
        for (const [part, text] of shownAs()) part.hidden = !text.toLowerCase().includes(wanted);
    });
    return element("p", { class: "finder" }, element("label", { for: id }, label), input);
}
