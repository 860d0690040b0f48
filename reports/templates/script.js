"use strict";
// Opens trials inside the report. A trial is a compressed tree of nodes; it becomes elements of known tags with
// known attributes and text, never markup. The same lists stand in harness/report/node.py; a test compares them.
(() => {
  const TAGS = new Set(["a", "article", "code", "dd", "details", "div", "dl", "dt", "h2", "h3", "h4", "header", "img", "li", "nav", "p", "pre", "rect", "section", "span", "strong", "summary", "svg", "table", "tbody", "td", "th", "thead", "tr", "ul"]);
  const ATTRIBUTES = new Set(["alt", "aria-current", "aria-label", "class", "height", "href", "id", "open", "role", "scope", "src", "title", "width", "x", "y"]);
  const DRAWN = new Set(["svg", "rect"]);
  const ALLOWED = {
    href: /^#[\w=&.:-]*$/,
    src: /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}$/,
  };
  const report = document.getElementById("report");
  const view = document.getElementById("trial");
  const title = document.title;
  let shown = "";
  let place = 0;

  function build(node) {
    if (typeof node === "string") return document.createTextNode(node);
    const [tag, attributes, ...children] = node;
    if (!TAGS.has(tag)) throw new Error(`a node of kind ${tag}`);
    const element = DRAWN.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (ATTRIBUTES.has(name) && (!ALLOWED[name] || ALLOWED[name].test(value))) element.setAttribute(name, value);
    }
    for (const child of children) element.append(build(child));
    return element;
  }

  async function inflate(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  function tell(text) {
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    return paragraph;
  }

  function back() {
    const paragraph = document.createElement("p");
    paragraph.className = "back";
    const link = document.createElement("a");
    link.href = "#grid";
    link.textContent = "← Report";
    paragraph.append(link);
    return paragraph;
  }

  async function content(key) {
    const block = document.querySelector(`script[data-trial="${CSS.escape(key)}"]`);
    if (!block) {
      const link = document.querySelector(`a[href$="/${CSS.escape(key)}.html"]`);
      if (!link) return tell("This report has no page for this trial.");
      const paragraph = tell("This trial is a page of its own beside the report: ");
      paragraph.append(link.cloneNode(true));
      return paragraph;
    }
    if (!("DecompressionStream" in window)) return tell("This browser is too old to open trials; any current one can.");
    try {
      return build(await inflate(block.textContent));
    } catch (error) {
      return tell(`This trial cannot be shown: ${error.message}`);
    }
  }

  function showReport(anchor) {
    view.hidden = true;
    view.replaceChildren();
    report.hidden = false;
    document.title = title;
    if (shown) {
      const target = anchor && document.getElementById(anchor);
      if (place) window.scrollTo(0, place);
      else if (target) target.scrollIntoView();
      const link = document.querySelector(`a[href="#trial=${CSS.escape(shown)}"]`);
      if (link) link.focus({ preventScroll: true });
    }
    shown = "";
  }

  async function showTrial(key, turn) {
    if (shown !== key) {
      if (!shown) place = window.scrollY;
      shown = key;
      const body = await content(key);
      if (shown !== key) return;
      view.replaceChildren(back(), body);
      report.hidden = true;
      view.hidden = false;
      const heading = view.querySelector("h2");
      if (heading) document.title = `${heading.textContent} · ${title}`;
      window.scrollTo(0, 0);
      view.focus({ preventScroll: true });
    }
    const target = turn && document.getElementById(`turn-${turn}`);
    if (target) target.scrollIntoView();
  }

  function route() {
    const found = /^#trial=([\w.-]+)(?:&turn=(\d+))?$/.exec(location.hash);
    if (found) showTrial(found[1], found[2]);
    else showReport(location.hash.slice(1));
  }

  function themes() {
    const button = document.getElementById("theme");
    const choices = ["light dark", "light", "dark"];
    const names = { "light dark": "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
    const apply = (choice) => {
      document.documentElement.dataset.theme = choice;
      button.textContent = names[choice];
    };
    let choice = choices[0];
    try {
      choice = choices.find((known) => known === localStorage.getItem("harness-theme")) || choice;
    } catch { /* storage can be refused for files */ }
    apply(choice);
    button.hidden = false;
    button.addEventListener("click", () => {
      choice = choices[(choices.indexOf(choice) + 1) % choices.length];
      apply(choice);
      try { localStorage.setItem("harness-theme", choice); } catch { /* as above */ }
    });
  }

  document.getElementById("scripts-off").hidden = true;
  window.addEventListener("hashchange", route);
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && shown) location.hash = "#grid";
  });
  window.addEventListener("beforeprint", () => {
    for (const fold of (view.hidden ? report : view).querySelectorAll("details")) fold.open = true;
  });
  themes();
  route();
})();
