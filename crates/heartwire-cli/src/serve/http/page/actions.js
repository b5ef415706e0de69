// Kick, drain, token; keys that hold everywhere; and the beginning.

let doing;
/** Asks before it does something; with the token's field if there is none yet. */
function confirmThen(kind, title, text, yes, run) {
  doing = { run, kind };
  put("ask-title", title);
  put("ask-text", text);
  put("ask-yes", yes);
  put("ask-wrong", "");
  $("ask-yes").className = kind === "token" ? "" : "grave";
  for (const name of ["kick", "drain", "token"]) {
    for (const label of $("ask").querySelectorAll(`.${name}`)) label.hidden = name !== kind && !(name === "token" && !token);
  }
  $("ask").querySelector("[name=token]").value = "";
  $("ask").showModal();
}
function setToken(text) {
  token = text;
  if (token) sessionStorage.setItem("heartwire-token", token);
  else sessionStorage.removeItem("heartwire-token");
  showButtons();
}
function showButtons() {
  put("token", token ? "Forget the token" : "Token…");
  $("drain").title = token ? "" : "needs the server's token";
}

$("ask").querySelector("form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = Object.fromEntries(new FormData(e.target)), { run, kind } = doing, typed = form.token.trim();
  const had = token;
  if (typed) setToken(typed);
  $("ask-yes").disabled = true;
  try {
    await run(form);
    $("ask").close();
  } catch (wrong) {
    if (wrong instanceof Error) throw wrong;
    // A token that the server did not take is not kept.
    if (wrong.status === 401 && kind !== "token") { setToken(typed ? had : ""); $("ask").querySelector("label.token").hidden = false; }
    put("ask-wrong", wrong.message);
  } finally {
    $("ask-yes").disabled = false;
  }
});
$("ask-no").addEventListener("click", () => $("ask").close());

$("kick").addEventListener("click", () => {
  const s = openSession;
  confirmThen("kick", "Disconnect this client?", `${named(s)} at ${s.peer ?? "an unknown address"}: its session ends.`, "Kick it", async (form) => {
    const query = new URLSearchParams({ reason: form.reason, retry: form.retry });
    await ask(`/v1/sessions/${encodeURIComponent(s.session)}?${query}`, { method: "DELETE" });
    say("Kicked");
    tick();
  });
});
$("drain").addEventListener("click", () => confirmThen("drain", "Drain this server?", "It takes no new clients, tells those that it has to leave, and stops.", "Drain it", async (form) => {
  const options = form.window === "" ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify({ window_ms: Math.round(Number(form.window) * 1000) }) };
  await ask("/v1/drain", { method: "POST", ...options });
  say("The server drains");
  tick();
}));
$("token").addEventListener("click", () => {
  if (token) return setToken("");
  confirmThen("token", "Token", "Kicking and draining need it; so does everything on a server that is reached from elsewhere.", "Keep it", async () => { streaming?.abort("again"); tick(); });
});

addEventListener("keydown", (e) => {
  if (e.key === "/" && !/INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) { e.preventDefault(); $("search").focus(); }
  else if (e.key === "Escape" && !$("ask").open) {
    if (open) closeDetail();
    else if (search || $("search").value) { $("search").value = ""; search = ""; shownList = []; held = undefined; show(); }
  }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
dark.addEventListener("change", theme);
addEventListener("resize", show);

theme();
showButtons();
showLog();
tick();
stream();
