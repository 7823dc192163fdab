// Once per page: Ctrl+Enter (Cmd+Enter) generates; on a narrow screen the result is brought into sight.
() => {
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      const button = document.querySelector("#generate");
      if (!button || button.disabled) return;
      event.preventDefault();
      event.stopPropagation();
      document.activeElement?.blur?.(); // a field hands over its value when it is left
      setTimeout(() => button.click(), 80);
    },
    true,
  );
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#generate")) return;
    const result = document.querySelector("#result");
    if (result && window.innerWidth < 900) setTimeout(() => result.scrollIntoView({ behavior: "smooth" }), 300);
  });
}
