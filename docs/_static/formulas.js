// KaTeX draws each formula from its LaTeX; the MathML beside it stays for screen readers, and for who runs no scripts.
(function () {
  "use strict";
  if (!window.katex) return;
  document.querySelectorAll("[data-tex]").forEach(function (place) {
    var drawn = document.createElement("span");
    drawn.setAttribute("aria-hidden", "true");
    try {
      window.katex.render(place.dataset.tex, drawn, {
        displayMode: place.classList.contains("formula"),
        output: "html",
        strict: "error",
      });
    } catch (error) {
      return; // the MathML is shown
    }
    place.classList.add("drawn");
    place.appendChild(drawn);
  });
})();
