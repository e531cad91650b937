// Tables that sort and filter (DataTables), plots (Vega), and the page that compares two attacks. Text of rows is set as text, never as HTML.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // what a cell sorts by: its first number, "a / b" as a share, or its words; cells without anything last from above
  const sortable = (text) => {
    const words = text.replace(/<[^>]*>/g, " ").replace(/&[a-z]+;/g, " ").replace(/−/g, "-").trim();
    if (!words || words === "—") return -Infinity;
    const share = words.match(/^(\d+) ?\/ ?(\d+)/);
    if (share) return share[1] / share[2];
    const number = words.match(/^[<+]?(-?[\d.]+(?:e[-+]?\d+)?)(?![\w-])/);
    return number ? parseFloat(number[1]) : words.toLowerCase();
  };
  const bySort = { targets: "_all", render: (data, type) => (type === "sort" || type === "type" ? sortable(String(data ?? "")) : data) };
  const quiet = { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null };

  // once it is near the window
  const near = (elements, act) => {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        seen.unobserve(entry.target);
        act(entry.target);
      }
    }, { rootMargin: "300px" });
    elements.forEach((element) => seen.observe(element));
  };

  const sortTables = () => near(all("table.sortable"), (table) => {
    const rows = table.tBodies[0] ? table.tBodies[0].rows.length : 0;
    if (rows < 3 || !window.DataTable) return;
    const search = rows > 15;
    all("thead th", table).forEach((cell) => { if (!cell.textContent.trim()) cell.append(make("span", { className: "muted", textContent: "·" })); });
    new DataTable(table, {
      paging: false, info: false, searching: search, order: [], autoWidth: false, columnDefs: [bySort],
      layout: search ? { ...quiet, topStart: "search" } : quiet,
    });
  });

  // the table of a board: a form chooses, whatever the table is made of
  const board = () => {
    const table = document.querySelector("#lines");
    const form = document.querySelector("form[data-for=lines]");
    if (!table || !form || !window.DataTable) return;
    const lines = window.LINES ? decoded(window.LINES) : null;
    const facts = lines || all("tbody tr", table).map((row) => row.dataset);
    for (const select of all("select", form)) {
      const values = [...new Set(facts.map((one) => one[select.name]).filter(Boolean))].sort();
      values.forEach((value) => select.append(make("option", { value, textContent: value })));
      if (values.length < 2) select.closest("label").hidden = true;
    }
    const shared = { paging: Boolean(lines), pageLength: 50, order: [], autoWidth: false, deferRender: true };
    const layout = { ...quiet, bottomStart: lines ? "info" : null, bottomEnd: lines ? "paging" : null };
    const options = lines ? { data: lines, columns: columnsOfLines() } : { columnDefs: [bySort] };
    const made = new DataTable(table, { ...shared, ...options, layout });
    const wanted = () => Object.fromEntries(new FormData(form));
    made.search.fixed("chosen", (words, data, i) => {
      const asked = wanted(), one = facts[i];
      return all("select", form).every(({ name }) => !asked[name] || one[name] === asked[name]) && (!asked.date || one.date >= asked.date);
    });
    const apply = () => {
      made.search(form.elements.words.value).draw();
      const shown = made.rows({ search: "applied" }).count();
      form.querySelector("output").textContent = `${shown} of ${facts.length} lines`;
      const track = form.elements.track.value;
      all(".of-track").forEach((section) => { section.hidden = track !== "" && section.dataset.track !== track; });
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    const asked = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of asked) if (form.elements[name]) form.elements[name].value = value;
    if (!lines && facts.length && !asked.has("track")) form.elements.track.value = facts[0].track;
    apply();
  };

  const decoded = ({ columns, texts, rows }) =>
    rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, texts[name] ? texts[name][row[i]] : row[i]])));
  const safe = (text) => String(text ?? "").replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const place = (value) => `${Math.round((100 * (Math.max(-0.5, Math.min(1, value)) + 0.5)) / 1.5)}%`;
  const bar = (one) => one.estimate === null ? "" :
    `<span class="ci" aria-hidden="true" style="--e:${place(one.estimate)};--l:${place(one.low ?? one.estimate)};--h:${place(one.high ?? one.estimate)}"></span>`;
  const columnsOfLines = () => {
    const { grids, attacks } = window.LINES;
    const column = (title, key, show, sort) => ({
      title, data: null, className: ["score", "lead", "date"].includes(key) ? "tight" : "",
      render: (one, type) => (type === "display" ? show(one) : type === "filter" ? key.split(" ").map((name) => one[name]).join(" ") : (sort || ((x) => x[key.split(" ")[0]]))(one)),
    });
    const low = (value) => (value === null ? -9 : value);
    return [
      column("attack", "attack track access", (one) => `<a href="${safe(attacks[one.name])}">${safe(one.attack)}</a>` +
        (one.role === "attack" ? "" : ` <b class="muted">${safe(one.role)}</b>`) + (one.by ? ` <span class="muted">by ${safe(one.by)}</span>` : "") +
        `<br><span class="muted">${safe(one.track)} · ${safe(one.access)}</span>`),
      column("where", "dataset setting network", (one) => `${safe(one.dataset)}${one.setting ? `, ${safe(one.setting)}` : ""}<br><span class="muted">${safe(one.network)}</span>`),
      column("score [95 % CI]", "score", (one) => (one.sure ? `<b>${safe(one.score)}</b>` : safe(one.score)) + bar(one), (one) => low(one.estimate)),
      column("minus strongest control", "lead", (one) => safe(one.lead), (one) => low(one.ahead)),
      column("seeds", "seeds", (one) => safe(one.seeds)),
      column("coverage", "coverage", (one) => safe(one.coverage)),
      column("verified", "verified", (one) => safe(one.verified)),
      column("date", "date", (one) => safe(one.date)),
      column("grid", "grid", (one) => `<a href="${safe(grids[one.grid])}">${safe(one.grid)}</a>`),
    ];
  };

  // plots
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const looks = () => {
    const style = getComputedStyle(document.documentElement);
    const [ink, muted, line] = ["--ink", "--muted", "--line"].map((name) => style.getPropertyValue(name).trim());
    const axis = { labelColor: muted, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500, labelFontSize: 12, titleFontSize: 12.5 };
    return { background: null, axis, legend: { labelColor: ink, labelFontSize: 12 }, style: { cell: { stroke: line } } };
  };
  const tip = make("div", { id: "tip", hidden: true });
  const showTip = (handler, event, item, value) => {
    const text = value && typeof value === "object" ? Object.values(value)[0] : value;
    tip.hidden = text == null || text === "";
    if (tip.hidden) return;
    tip.textContent = text;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
  };
  const filled = (plot, width) => {
    const signed = (value) => value.toFixed(2).replace("-", "−");
    const told = (one) => one.t ?? `${one.a}\n${one.x}\n${plot.words} ${signed(one.e)} [${signed(one.lo)}, ${signed(one.hi)}]\n${one.m}`.trim();
    const crowded = new Set(plot.values.map((one) => one.x)).size * 70 > width;
    const known = { ...plot, values: plot.values.map((one) => ({ ...one, t: told(one) })), angle: crowded ? -35 : 0 };
    const of = (text) => known[/^@(\w+)@$/.exec(text)?.[1]];
    const put = (value) => {
      if (typeof value === "string") return of(value) ?? value;
      if (Array.isArray(value)) return value.length === 1 && Array.isArray(of(value[0])) ? of(value[0]) : value.map(put);
      return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, put(one)])) : value;
    };
    return put(window.PLOTS[plot.kind]);
  };
  const views = new Map();
  const draw = async (element, plot) => {
    if (!window.vegaEmbed || !window.PLOTS) return;
    views.get(element)?.made?.finalize();
    views.set(element, { plot });
    const made = await vegaEmbed(element, filled(plot, element.clientWidth), { actions: false, renderer: "svg", tooltip: showTip, config: looks() });
    views.set(element, { plot, made });
    element.querySelectorAll("svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
  };
  const plots = () => {
    document.body.append(tip);
    near(all(".chart .plot"), (element) => {
      const data = element.parentElement.querySelector("script[type='application/json']");
      if (data) draw(element, JSON.parse(data.textContent));
    });
    dark.addEventListener("change", () => views.forEach(({ plot }, element) => draw(element, plot)));
  };

  // two attacks side by side
  const comparison = () => {
    const form = document.querySelector("#compare");
    if (!form || !window.COMPARE || !window.COMPARE.length) return;
    const { grid, setting, a, b } = form.elements;
    const asked = new URLSearchParams(location.hash.slice(1));
    const fill = (select, values, wanted) => {
      select.replaceChildren(...values.map(([value, text]) => make("option", { value, textContent: text })));
      if (values.some(([value]) => value === wanted)) select.value = wanted;
    };
    const here = () => COMPARE.find((one) => one.name === grid.value).settings[setting.value];
    const members = (one) => (typeof one.members === "number" ? [...Array(one.members).keys()] : one.members);
    const scores = (text) => text.match(/../g).map((two) => (two === "--" ? null : (parseInt(two, 36) - 100) / 100));
    const has = (text, one) => Object.keys(one.lines).find((name) => name === text || name.startsWith(`${text} (`));
    const settings = (wanted) => fill(setting, COMPARE.find((one) => one.name === grid.value).settings.map((one, i) => [String(i), `${one.where}, seed ${one.seed}`]), wanted);
    const attacks = (first, second) => {
      const names = Object.keys(here().lines), pairs = names.map((name) => [name, name]);
      fill(a, pairs, has(first, here()) || names[0]);
      fill(b, pairs, has(second, here()) || names.find((name) => name !== a.value));
    };
    const tile = (one, i, k, label) => {
      const at = one.strips && one.strips[i];
      if (!at || k === undefined) return make("span", { className: "muted", textContent: "no picture kept" });
      const element = make("span", { className: `t s-${at[0]}` });
      element.setAttribute("role", "img");
      element.setAttribute("aria-label", label);
      element.style.cssText = `--x:${at[1] + k};--y:${at[2]};--n:1`;
      return element;
    };
    const number = (value) => (value === null ? "—" : value.toFixed(2).replace("-", "−"));
    let table = null;
    const show = () => {
      const one = here(), order = members(one), left = scores(one.lines[a.value]), right = scores(one.lines[b.value]);
      const above = (values) => values.filter((value) => value !== null && value > 0.4).length;
      document.querySelector("#verdict").textContent = `Of ${order.length} members above SSIM 0.4: ${a.value} ${above(left)}, ${b.value} ${above(right)}.`;
      const points = order.map((i, k) => ({ x: left[k], y: right[k], t: `member ${i}\n${a.value}: ${number(left[k])}\n${b.value}: ${number(right[k])}` }));
      const plot = { kind: "pairs", x: `SSIM, ${a.value}`, y: `SSIM, ${b.value}`, values: points.filter((p) => p.x !== null && p.y !== null) };
      draw(document.querySelector("#pairs"), plot);
      if (table) table.destroy();
      const element = document.querySelector("#images");
      const heads = ["member", "image", a.value, "SSIM", b.value, "SSIM", "difference"];
      const bars = (value) => {
        const cell = make("td", { className: "num" });
        const length = make("span", { className: "bar" });
        length.style.width = `${Math.max(0, value ?? 0) * 60}px`;
        cell.append(length, number(value));
        cell.dataset.order = value ?? -9;
        return cell;
      };
      const rows = order.map((i, k) => {
        const apart = left[k] === null || right[k] === null ? null : left[k] - right[k];
        const last = make("td", { textContent: apart === null ? "—" : (apart > 0 ? "+" : "") + number(apart) });
        last.dataset.order = apart ?? -9;
        return make("tr", {}, make("td", { textContent: i }), make("td", {}, tile(one, i, one.columns && 0, `member ${i}`)),
          make("td", {}, tile(one, i, one.columns && one.columns[a.value], `member ${i}: what came back of ${a.value}`)), bars(left[k]),
          make("td", {}, tile(one, i, one.columns && one.columns[b.value], `member ${i}: what came back of ${b.value}`)), bars(right[k]), last);
      });
      const head = make("tr", {}, ...heads.map((textContent) => Object.assign(make("th", { textContent }), { scope: "col" })));
      element.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
      table = new DataTable(element, { paging: rows.length > 60, pageLength: 50, info: false, searching: false, order: [], autoWidth: false, layout: { ...quiet, bottomEnd: rows.length > 60 ? "paging" : null } });
      history.replaceState(null, "", `#${new URLSearchParams({ grid: grid.value, setting: setting.value, a: a.value, b: b.value })}`);
    };
    fill(grid, COMPARE.map((one) => [one.name, one.title]), asked.get("grid"));
    if (!asked.get("grid") && asked.get("a")) {
      const first = COMPARE.find((one) => one.settings.some((each) => has(asked.get("a"), each)));
      if (first) {
        grid.value = first.name;
        asked.set("setting", String(first.settings.findIndex((each) => has(asked.get("a"), each))));
      }
    }
    settings(asked.get("setting"));
    attacks(asked.get("a"), asked.get("b"));
    grid.addEventListener("change", () => { const [x, y] = [a.value, b.value]; settings(); attacks(x, y); show(); });
    setting.addEventListener("change", () => { attacks(a.value, b.value); show(); });
    [a, b].forEach((select) => select.addEventListener("change", show));
    show();
  };

  // a link into a folded part opens it
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
  };

  document.addEventListener("DOMContentLoaded", () => {
    for (const act of [board, sortTables, plots, comparison, unfold]) act();
    addEventListener("hashchange", unfold);
    document.documentElement.dataset.ready = "yes";
  });
})();
