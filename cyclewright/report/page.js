"use strict";
(() => {
  const table = document.getElementById("operators");
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const rows = Array.from(body.rows);
  const shown = document.getElementById("shown");
  const filter = document.getElementById("filter");

  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.hasAttribute("data-v") ? Number(cell.getAttribute("data-v")) : cell.textContent.trim();
  };

  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const sort = (column) => {
    const head = heads[column];
    const numbers = rows.length > 0 && typeof key(rows[0], column) === "number";
    const before = head.getAttribute("aria-sort");
    // Numbers begin with the largest, which is what one looks for; names and places begin with the first.
    const first = numbers && column > 0 ? "descending" : "ascending";
    const second = first === "descending" ? "ascending" : "descending";
    const order = before === first ? second : first;
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const keyed = rows.map((row, place) => [key(row, column), place, row]);
    keyed.sort((a, b) => sign * compare(a[0], b[0]) || a[1] - b[1]);
    body.append(...keyed.map((entry) => entry[2]));
  };

  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));

  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) count += 1;
    }
    shown.textContent = `${count} of ${rows.length} operators`;
  };
  filter.addEventListener("input", apply);

  // A dot that leads to a filtered row, and paper, must show everything.
  window.addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.hidden) {
      filter.value = "";
      apply();
      target.scrollIntoView();
    }
  });
  window.addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details")) part.open = true;
  });
})();
