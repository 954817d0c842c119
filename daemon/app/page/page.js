// The page of posternd's admin listener: reads status.json every few seconds and shows it. What is read becomes text nodes
// and attributes, never markup: names and replies in it come from anybody who can connect.
"use strict";

(() => {
  const EVERY_MS = 5000;
  const SLOTS_MIN = 24;  // of a curve: two minutes
  const LOG_LINES = 8;
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);

  // ---- elements

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== ""));
    return node;
  }
  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
  const mark = (kind, text) => el("span", { class: `mark ${kind}` }, text);

  // What is shown stays as it is while its data does: a selection in it, too.
  const shown = new Map();
  function show(id, data, make) {
    const key = JSON.stringify(data);
    if (shown.get(id) === key) return;
    shown.set(id, key);
    $(id).replaceChildren(...[make()].flat());
  }

  // ---- numbers

  const grouped = new Intl.NumberFormat("en");
  const whole = (n) => grouped.format(n);
  function short(n) {
    if (n < 10 && n !== Math.round(n)) return n.toFixed(1);
    if (n < 10000) return whole(Math.round(n));
    return n < 1e6 ? `${(n / 1e3).toFixed(n < 1e5 ? 1 : 0)}k` : `${(n / 1e6).toFixed(1)}M`;
  }
  function octets(n) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; n >= 1024 && unit < units.length - 1; ++unit) n /= 1024;
    return [unit === 0 || n >= 100 ? Math.round(n).toString() : n.toFixed(1), units[unit]];
  }
  function duration(us) {
    if (us === 0) return ["–", ""];
    if (us < 1000) return [Math.round(us).toString(), "µs"];
    if (us < 1e6) return [us < 1e4 ? (us / 1e3).toFixed(1) : Math.round(us / 1e3).toString(), "ms"];
    return [(us / 1e6).toFixed(1), "s"];
  }
  /** A second or a minute, whichever leaves something to read. */
  function rate(count, milliseconds) {
    if (milliseconds === 0) return ["–", ""];
    const each = (count * 1000) / milliseconds;
    return each === 0 || each >= 1 ? [short(each), "/s"] : [short(each * 60), "/min"];
  }
  const together = ([number, unit]) => (unit === "" ? number : `${number} ${unit}`);
  const percent = (part, all) => (part === 0 ? "0%" : part / all < 0.001 ? "<0.1%" : `${((100 * part) / all).toFixed(part === all ? 0 : 1)}%`);
  function span(seconds) {
    const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
    if (days > 0) return `${days} d ${hours} h`;
    return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min` : `${seconds} s`;
  }
  const plural = (n, one, many) => `${whole(n)} ${n === 1 ? one : many}`;
  const clock = (time) => el("time", { datetime: time }, time.replace("T", " ").replace("Z", ""));

  // ---- curves and bars

  /** `values`: oldest first, null where there is nothing; the newest stands at the right. */
  function curve(label, values, peak) {
    const top = Math.max(...values.map((value) => value ?? 0), 1e-9), slots = Math.max(SLOTS_MIN, values.length), first = slots - values.length;
    const x = (i) => (first + i).toString(), y = (value) => (30 - (28 * value) / top).toFixed(1);
    let line = "", area = "";
    values.forEach((value, i) => {
      if (value === null) return;
      const follows = i > 0 && values[i - 1] !== null;
      line += follows ? `L${x(i)} ${y(value)}` : `M${x(i)} ${y(value)}h0.01`;
      area += follows ? `L${x(i)} ${y(value)}` : `M${x(i)} 31V${y(value)}`;
      if (i + 1 === values.length || values[i + 1] === null) area += "V31Z";
    });
    return svg("svg", { viewBox: `0 0 ${slots - 1} 32`, preserveAspectRatio: "none", role: "img", "aria-label": `${label}, the last minutes: ${peak}` },
      svg("path", { class: "base", d: `M0 31H${slots - 1}` }), svg("path", { class: "area", d: area }), svg("path", { class: "curve", d: line }));
  }

  function tile(title, [number, unit], lines, graph) {
    return el("div", { class: "tile" }, el("h3", {}, title), el("strong", {}, number, unit === "" ? null : el("small", {}, unit)),
      lines.filter((line) => line !== "").map((line) => el("p", {}, line)), graph ?? null);
  }

  function shares(id, parts) {
    const all = parts.reduce((sum, part) => sum + part.count, 0);
    show(id, parts, () => {
      if (all === 0) return el("p", { class: "none" }, "nothing yet");
      let from = 0;
      const bar = parts.map(({ count, color }) => {
        const rect = svg("rect", { class: color, x: ((1000 * from) / all).toFixed(2), y: "0", width: ((1000 * count) / all).toFixed(2), height: "12" });
        from += count;
        return rect;
      });
      const words = parts.map(({ label, count }) => `${label} ${percent(count, all)}`).join(", ");
      const legend = parts.map(({ label, count, color }) => el("li", {},
        svg("svg", { viewBox: "0 0 9 9", "aria-hidden": "true" }, svg("rect", { class: color, width: "9", height: "9", rx: "2" })),
        label, el("b", {}, percent(count, all)), el("span", {}, whole(count))));
      return [svg("svg", { class: "bar", viewBox: "0 0 1000 12", preserveAspectRatio: "none", role: "img", "aria-label": words }, bar),
        el("ul", { class: "legend" }, legend)];
    });
  }

  // ---- tables

  /**
   * Columns: [heading, value(row) → string, number or node, kind]; kind "title", "number", "long" (a line of its own on a
   * phone) or nothing. Roles are said, since a narrow window turns rows into blocks.
   */
  function table(id, columns, rows, none) {
    show(id, [none, rows], () => {
      const head = columns.map(([heading, , kind]) => el("th", { scope: "col", role: "columnheader", class: kind === "number" ? "number" : null }, heading));
      const body = rows.map((row) => el("tr", { role: "row" }, columns.map(([heading, value, kind]) => {
        const made = value(row);
        const zero = made === 0 || made === "–";
        return el("td", { role: "cell", "data-label": heading, class: [kind ?? "", zero ? "zero" : ""].join(" ").trim() || null },
          typeof made === "number" ? whole(made) : made);
      })));
      if (rows.length === 0) body.push(el("tr", { role: "row" }, el("td", { role: "cell", colspan: columns.length, class: "none" }, none)));
      $(id).setAttribute("role", "table");
      return [el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)), el("tbody", { role: "rowgroup" }, body)];
    });
  }

  // ---- sections

  function showHead(page) {
    const { status } = page;
    document.title = `${status.ready ? "" : "✗ "}${page.hostname || "postern"} – postern`;
    $("hostname").textContent = page.hostname || "postern";
    show("state", [status.ready, status.not_ready], () =>
      status.ready ? mark("good", "ready") : mark("bad", `not ready: ${status.not_ready.join("; ")}`));
    $("facts").textContent = `postern ${status.version} · up ${span(status.uptime_seconds)} · ${plural(status.workers, "worker", "workers")}`;
  }

  function showTiles(page) {
    const { status, history, minute } = page;
    show("tiles", [history, minute, status.sessions, status.memory_octets, status.descriptors], () => {
      const perSecond = (key) => history.map((point) => (point[key] * 1000) / Math.max(point.milliseconds, 1));
      const each = (title, key, unit = (value) => `${short(value)} a second`) => {
        const values = perSecond(key);
        return curve(title, values, `highest ${unit(Math.max(0, ...values))}`);
      };
      const latencies = (key) => history.map((point) => point[key] || null);
      const highest = (key) => `highest ${together(duration(Math.max(0, ...latencies(key))))}`;
      const told = [minute.deferred > 0 ? `${whole(minute.deferred)} deferred` : "", minute.refused > 0 ? `${whole(minute.refused)} refused` : ""];
      return [
        tile("Sessions open", [whole(status.sessions), ""], [`${rate(minute.sessions, minute.milliseconds).join("")} new`, `${whole(status.sessions_total)} since the start`], each("Sessions", "sessions")),
        tile("Messages", rate(minute.messages, minute.milliseconds), [told.filter(Boolean).join(", ") || "none deferred or refused", `${whole(status.messages_total)} since the start`], each("Messages", "messages")),
        tile("Data", ((made) => [made[0], `${made[1]}/s`])(octets(minute.milliseconds ? (minute.octets * 1000) / minute.milliseconds : 0)), ["of messages"],
          each("Data", "octets", (value) => `${together(octets(value))} a second`)),
        tile("Delivery", duration(minute.delivery_median), [`95%: ${together(duration(minute.delivery_p95))}`, "end of data to reply"], curve("Delivery, 95% below", latencies("delivery_p95"), highest("delivery_p95"))),
        tile("TLS handshakes", rate(minute.handshakes, minute.milliseconds), [minute.handshakes_failed > 0 ? `${whole(minute.handshakes_failed)} failed` : "none failed", `95%: ${together(duration(minute.handshake_p95))}`], each("TLS handshakes", "handshakes")),
        tile("Memory", octets(status.memory_octets), [`${together(octets(status.message_memory_octets))} of it messages`, `${whole(status.descriptors)} of ${whole(status.descriptors_max)} descriptors`,
          `${whole(status.ledger.entries)} in the ledger`]),
      ];
    });
  }

  /** What somebody should look at: how things are now, then what was logged. */
  function showErrors(page) {
    const { status } = page;
    const now = [
      ...status.faults.map((text) => ["fault", text]),
      ...(status.held_back ? [["held back", status.held_back]] : []),
      ...(status.pinned_version ? [["pinned", `version ${status.pinned_version} of the certificate map, until the next reload by request`]] : []),
      ...status.backends.filter((one) => !one.up).map((one) => ["down", `backend ${one.name} at ${one.target}, for ${span(one.down_seconds)}: ${one.last_failure}`]),
      ...(status.ledger.last_failure ? [["ledger", status.ledger.last_failure]] : []),
      ...(status.draining ? [["draining", "connections are refused, or soon will be"]] : []),
      ...page.limits.map(({ kind, count }) => ["limit", `${kind}: ${plural(count, "client", "clients")} refused since the start`]),
    ];
    const more = page.fault_count - status.faults.length;
    if (more > 0) now.push(["fault", `and ${whole(more)} more: postern status lists them`]);
    const kind = (word) => (["limit", "draining", "pinned", "warning"].includes(word) ? "fair" : "bad");
    const log = new Map();  // every worker may say the same, and say it again with another delay
    for (const line of page.log) {
      const key = line.text.replace(/\d[\d.]* (ms|s|min|h)\b/g, "");
      const latest = log.get(key) ?? { ...line, times: 0 };
      latest.times += 1;
      log.set(key, latest);
    }
    show("errors", [now, [...log.values()]], () => {
      const lines = now.map(([word, text]) => el("li", {}, el("span", { class: "age" }, "now"), mark(kind(word), word), el("span", {}, text)));
      for (const line of [...log.values()].slice(0, LOG_LINES)) {
        lines.push(el("li", {}, clock(line.time), mark(kind(line.level), line.level),
          el("span", {}, line.text, line.times > 1 ? el("span", { class: "age" }, ` ×${line.times}`) : null)));
      }
      return lines.length > 0 ? lines : el("li", { class: "none" }, mark("good", "none"));
    });
  }

  function showBackends(page) {
    const traffic = new Map(page.backends.map((one) => [one.name, one]));
    const of = (row, read) => (traffic.has(row.name) ? read(traffic.get(row.name)) : "–");
    const rows = page.status.backends;
    const more = page.target_count - rows.length;
    $("backends-note").textContent = more > 0 ? `${whole(rows.length)} of ${whole(page.target_count)}` : "";
    table("backends", [
      ["Backend", (row) => [row.name, el("span", { class: "why" }, row.target)], "title"],
      ["Health", (row) => [row.up ? mark("good", "up") : mark("bad", `down for ${span(row.down_seconds)}`), row.last_failure ? el("span", { class: "why" }, row.last_failure) : null], "long"],
      ["Busy", (row) => row.connections - row.idle, "number"],
      ["Idle", (row) => row.idle, "number"],
      ["Waiting", (row) => row.waiting, "number"],
      ["Failures", (row) => row.failures, "number"],
      ["Median", (row) => of(row, (one) => together(duration(one.median))), "number"],
      ["95%", (row) => of(row, (one) => together(duration(one.p95))), "number"],
    ], rows.map((row) => ({ ...row, traffic: traffic.get(row.name) ?? null })), "no backend has been used yet");
  }

  function showCertificates(page) {
    const { status } = page;
    $("certificates-note").textContent = `${plural(status.certificates, "certificate", "certificates")} for ${plural(status.names, "name", "names")}, map version ${status.map_version}`;
    const left = (days) => (days < 0 ? mark("bad", `ended ${plural(-days, "day", "days")} ago`) : mark(days < 7 ? "bad" : days < 21 ? "fair" : "good", plural(days, "day", "days")));
    table("certificates", [
      ["Ends first", (row) => row.name, "title"],
      ["Left", (row) => left(row.days_left)],
      ["Until", (row) => el("time", { datetime: row.not_after, title: row.not_after }, row.not_after.slice(0, 10))],
    ], page.certificates, "no certificate is served");
  }

  const COLORS = { exact: "one", wildcard: "two", parent: "three", unknown: "four", unusable: "five", none: "six" };

  function showShares(page) {
    const { sni } = page;
    const counts = sni.totals;
    if (sni.enabled) {
      $("shares-note").textContent = `${plural(counts.handshakes, "handshake", "handshakes")}, ${whole(counts.resumed)} resumed, ${whole(counts.refused)} refused by the client`;
      shares("tls-shares", [["TLS 1.3", counts.tls13, "one"], ["TLS 1.2", counts.tls12, "two"], ["older", counts.older, "four"], ["no handshake completed", counts.handshakes - counts.tls13 - counts.tls12 - counts.older, "five"], ["in clear", counts.clear_sessions, "six"]]
        .map(([label, count, color]) => ({ label, count, color })).filter(({ count }) => count > 0));
      shares("sni-shares", [["exact", counts.exact], ["wildcard", counts.wildcard], ["unknown", counts.unknown], ["unusable", counts.unusable], ["none", counts.without_sni]]
        .map(([label, count]) => ({ label, count, color: COLORS[label] })).filter(({ count }) => count > 0));
      return;
    }
    $("shares-note").textContent = "since the start: score.enabled is false";
    const versions = { "TLSv1.3": "one", "TLSv1.2": "two", failed: "five" };
    shares("tls-shares", page.versions.map(({ kind, count }) => ({ label: kind, count, color: versions[kind] ?? "four" })));
    shares("sni-shares", page.server_names.map(({ kind, count }) => ({ label: kind, count, color: COLORS[kind] ?? "six" })));
  }

  const verdicts = { safe: ["good", "safe"], unsafe: ["bad", "not safe"], unknown: ["idle", "nothing seen yet"] };

  function showDomains(page) {
    const { domains } = page;
    const rows = domains.domains;
    $("domains-note").textContent = rows.length < domains.domain_count ? `${whole(rows.length)} of ${whole(domains.domain_count)} domains` : "";
    table("domains", [
      ["Domain", (row) => row.domain, "title"],
      ["enforce is", (row) => mark(...(verdicts[row.enforce] ?? ["idle", row.enforce]))],
      ["Policy", (row) => row.policy || "–"],
      ["Right name", (row) => row.ok, "number"],
      ["At risk", (row) => row.at_risk, "number"],
      ["Refused", (row) => row.refused, "number"],
      ["No SNI", (row) => row.without_sni, "number"],
      ["In clear", (row) => row.in_clear, "number"],
    ], rows, domains.enabled ? "no domain has MX names or mail yet" : "score.enabled is false");
  }

  function showSenders(page) {
    const { sni } = page;
    $("senders-note").textContent = sni.senders.length < sni.sender_count ? `the ${whole(sni.senders.length)} heaviest of ${whole(sni.sender_count)}` : "";
    const count = (key) => (row) => row.counts[key];
    table("senders", [
      ["Sender", (row) => [row.sender, row.verified ? null : el("span", { class: "why" }, "not verified by DNS")], "title"],
      ["Messages", count("messages"), "number"],
      ["Handshakes", count("handshakes"), "number"],
      ["Exact", count("exact"), "number"],
      ["Wildcard", count("wildcard"), "number"],
      ["Unknown", (row) => row.counts.unknown + row.counts.unusable, "number"],
      ["No SNI", count("without_sni"), "number"],
      ["Refused", (row) => (row.counts.refused > 0 ? el("b", { class: "bad" }, whole(row.counts.refused)) : 0), "number"],
      ["Failed", count("failed"), "number"],
      ["In clear", count("clear_sessions"), "number"],
    ], sni.senders, sni.enabled ? "no sender yet" : "score.enabled is false");
  }

  function showRefusals(page) {
    const rows = [...page.sni.refusals, ...page.sni.nameless_refusals];
    $("refusals-panel").hidden = rows.length === 0;
    table("refusals", [
      ["Sender", (row) => row.sender, "title"],
      ["Asks for", (row) => row.server_name || `no name of ours, at ${row.local}`, "long"],
      ["Times", (row) => row.refused, "number"],
      ["Came back in clear", (row) => row.downgraded, "number"],
      ["How", (row) => row.how.map(({ kind, count }) => `${kind} ×${count}`).join(", "), "long"],
      ["Would help", (row) => (row.help.length > 0 ? `a default certificate for ${row.help.join(", ")}` : "–"), "long"],
    ], rows, "");
  }

  function showFailures(page) {
    $("failures-panel").hidden = page.failures.length === 0;
    table("failures", [
      ["When", (row) => clock(row.time)],
      ["Sender", (row) => [row.sender, el("span", { class: "why" }, row.address)], "long"],
      ["Asked for", (row) => row.server_name || "–", "long"],
      ["What happened", (row) => [row.alert || row.reason, el("span", { class: "why" }, `${row.stage}${row.versions.length > 0 ? `; offered ${row.versions.join(", ")}` : ""}`)], "long"],
    ], page.failures, "");
  }

  function showPage(page) {
    for (const section of [showHead, showTiles, showErrors, showBackends, showCertificates, showShares, showDomains, showSenders, showRefusals, showFailures]) section(page);
    const listeners = page.status.listeners.map((one) => `${one.address} (${one.protocol}${one.tls === "none" ? "" : `, ${one.tls}`})`).join(", ");
    show("foot", [listeners, page.time, page.status.config_generation], () => [el("span", {}, `Listening: ${listeners}`),
      el("span", {}, `Configuration ${page.status.config_generation}`), el("span", {}, "As of ", clock(page.time), " UTC")]);
  }

  // ---- asking

  let timer = 0, asking = 0, reachedAt = null;
  const chosenWindow = () => document.querySelector("input[name=window]:checked").value;

  function complain(text) {
    $("trouble").hidden = text === "";
    if ($("trouble").textContent !== text) $("trouble").textContent = text;
    $("everything").classList.toggle("old", text !== "");
  }

  function askForToken(rejected) {
    $("entry").hidden = false;
    $("everything").hidden = true;
    show("state", ["token"], () => mark("idle", "locked"));
    complain(rejected ? "This token is not the right one." : "");
    $("token").focus();
  }

  async function ask() {
    clearTimeout(timer);
    const mine = ++asking;
    const token = sessionStorage.getItem("token");
    try {
      const answer = await fetch(`status.json?window=${chosenWindow()}`, {
        headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(20000) });
      if (mine !== asking) return;
      if (answer.status === 401) {
        sessionStorage.removeItem("token");
        return askForToken(token !== null);
      }
      if (!answer.ok) throw new Error(`it answers ${answer.status}: ${(await answer.text()).trim()}`);
      const page = await answer.json();
      if (mine !== asking) return;
      if (page.reply !== "page") throw new Error(page.text ?? "it answers something else");
      reachedAt = new Date();
      complain("");
      $("entry").hidden = true;
      $("everything").hidden = false;
      showPage(page);
    } catch (error) {
      if (mine !== asking) return;
      complain(`posternd cannot be asked (${error.message}). ${reachedAt ? `What stands here is of ${reachedAt.toLocaleTimeString()}.` : ""}`);
      show("state", ["lost"], () => mark("bad", "no answer"));
    }
    if (!document.hidden) timer = setTimeout(ask, EVERY_MS);
  }

  $("entry").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", $("token").value.trim());
    $("token").value = "";
    ask();
  });
  for (const input of document.querySelectorAll("input[name=window]")) input.addEventListener("change", ask);
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  ask();
})();
