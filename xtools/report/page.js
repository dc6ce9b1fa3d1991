const all = (what, from = document) => [...from.querySelectorAll(what)];
const words = (row, i) => row.cells[i].textContent.trim();
const number = (text) => parseFloat(text.replace(/,/g, "").replace("−", "-"));
function sort(head) {
  const rows = all("tr", head.closest("table").tBodies[0]), i = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending";
  const order = (a, b) => {
    const [x, y] = [number(words(a, i)), number(words(b, i))];
    if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1; // what is no number comes last, either way
    return (down ? -1 : 1) * (isNaN(x) ? words(a, i).localeCompare(words(b, i)) : x - y);
  };
  all("th", head.parentNode).forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  rows.sort(order).forEach((row) => row.parentNode.append(row));
}
all("thead th").forEach((head) => {
  head.classList.add("sorts");
  head.tabIndex = 0;
  head.onclick = () => sort(head);
  head.onkeydown = (event) => event.key === "Enter" && sort(head);
});
const folds = all("details.code"), toc = document.querySelector(".toc details"), way = document.querySelector(".way");
if (toc && matchMedia("(max-width: 69.9rem)").matches) toc.open = false;
if (way && window.CELLS) {
  const here = decodeURIComponent(location.pathname).split("/").slice(-3, -1).join("/"), i = CELLS.indexOf(here);
  const link = (text, place) => {
    const a = Object.assign(document.createElement("a"), { textContent: text, href: `../../${place}` });
    way.append(a);
  };
  link("← report", "report.html");
  link("all notebooks", "index.html");
  if (i > 0) link("‹ previous cell", `${CELLS[i - 1]}/notebook.html`);
  if (i >= 0 && i + 1 < CELLS.length) link("next cell ›", `${CELLS[i + 1]}/notebook.html`);
}
if (way && folds.length) {
  const button = Object.assign(document.createElement("button"), { textContent: "unfold all code" });
  button.onclick = () => {
    const open = folds.some((fold) => !fold.open);
    folds.forEach((fold) => (fold.open = open));
    button.textContent = open ? "fold all code" : "unfold all code";
  };
  way.append(button);
}
