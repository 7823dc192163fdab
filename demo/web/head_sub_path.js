// A proxy that serves the page below a path and takes the path off leaves the server with wrong addresses, and the page
// dead. This script, which comes with the page itself, says what to do. Nothing else of the page need work for it.

function tellSubPath() {
  const folder = (path) => path.replace(/\/[^/]*$/, "").replace(/\/$/, "");
  const here = folder(location.pathname);
  const root = window.gradio_config?.root;
  if (!root || !here || new URL(root, location.href).pathname.replace(/\/$/, "") === here) return;
  const note = document.createElement("p");
  note.id = "sub-path";
  note.setAttribute("role", "alert");
  note.style.cssText = "max-width: 40em; margin: 4em auto; padding: 0 1em; font: 16px/1.5 sans-serif";
  note.textContent =
    `This page is served at ${here}, but its server does not know that. If you run it: start it with the variable ` +
    `GRADIO_ROOT_PATH=${here}, or let the proxy send the header X-Forwarded-Prefix: ${here}.`;
  document.body.replaceChildren(note);
}

if (document.readyState === "loading") addEventListener("DOMContentLoaded", tellSubPath);
else tellSubPath();
