// The search page: a title counts most, excerpts come from the texts that the book brings, and words
// are marked on the page that a reader chooses, not on whatever page is opened next.
"use strict";
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 200,
  partialTitle: 50,
  term: 5,
  partialTerm: 2,
};
(() => {
  const load = window.fetch.bind(window);
  const textAt = (address) => {
    const { pathname } = new URL(address, document.baseURI);
    const root = new URL(document.documentElement.dataset.content_root ?? "./", document.baseURI).pathname;
    const name = pathname.slice(root.length).replace(/\.html$/, "");
    return Object.hasOwn(window.searchTexts, name) ? window.searchTexts[name] : null;
  };
  window.fetch = (address, ...options) => {
    const text = typeof address === "string" ? textAt(address) : null;
    if (text === null) return load(address, ...options);
    return Promise.resolve(new Response(`<div role="main">${text}</div>`));
  };
  let chosen = false;
  addEventListener("click", ({ target }) => {
    if (target.closest("#search-results a")) chosen = true;
  });
  addEventListener("pagehide", () => {
    if (!chosen) localStorage.removeItem("sphinx_highlight_terms");
  });
})();
