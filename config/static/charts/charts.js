/* Draws each chart's own table as stacked bars (uPlot); without this script the table is what one sees. */
"use strict";

const HEIGHT = 220;
const HALF_A_DAY = 43200; // so that the first and the last bar are whole

for (const figure of document.querySelectorAll("[data-chart]")) {
  const plot = figure.querySelector(".chart-plot");
  if (plot) {
    show(figure, plot);
  }
}

function show(figure, plot) {
  const table = figure.querySelector("table");
  const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows].reverse();
  const seconds = rows.map((row) => Number(row.dataset.seconds));
  const values = names.map((_, at) => rows.map((row) => Number(row.cells[at + 1].dataset.value)));
  const printed = names.map((_, at) => rows.map((row) => row.cells[at + 1].textContent));
  figure.querySelector("details").open = false;
  plot.hidden = false;

  let drawn = null;
  const draw = () => {
    if (drawn) {
      drawn.destroy();
    }
    drawn = new uPlot(options(plot.clientWidth, names, printed), [seconds, ...stacked(values)], plot);
  };
  draw();
  new ResizeObserver(() => drawn.width !== plot.clientWidth && drawn.setSize(sized(plot.clientWidth))).observe(plot);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

/** Each series on top of those before it; the tallest is first, so that the others are drawn over it. */
function stacked(values) {
  const sums = [];
  values.forEach((series, at) => sums.push(series.map((value, day) => value + (at ? sums[at - 1][day] : 0))));
  return sums.reverse();
}

function options(width, names, printed) {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { stroke: colour("--chart-ink"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  const bars = uPlot.paths.bars({ size: [0.72, 40] });
  const series = names.map((name, at) => ({
    label: name,
    fill: colour(`--chart-${(at % 5) + 1}`),
    stroke: colour(`--chart-${(at % 5) + 1}`),
    width: 0,
    paths: bars,
    points: { show: false },
    value: (_, __, ___, day) => (day === null ? total(printed[at]) : printed[at][day]),
  }));
  return {
    ...sized(width),
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: { x: { range: (_, first, last) => [first - HALF_A_DAY, last + HALF_A_DAY] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.05 : 1] } },
    axes: [
      { ...axis, grid: { show: false }, values: (_, splits) => splits.map(shortDay), space: 56 },
      { ...axis, grid: { stroke: colour("--chart-line"), width: 1 }, values: (_, splits) => splits.map(short), size: 52 },
    ],
    series: [{ label: "Day", value: (_, at) => (at === null ? "all" : longDay(at)) }, ...series.reverse()],
  };
}

function sized(width) {
  return { width: Math.max(width, 200), height: HEIGHT };
}

function total(cells) {
  const sum = cells.reduce((before, cell) => before + Number(cell.replaceAll(",", "")), 0);
  return sum.toLocaleString("en", { maximumFractionDigits: 2 });
}

function short(number) {
  return number.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

function shortDay(at) {
  return new Date(at * 1000).toLocaleDateString("en", { day: "numeric", month: "short", timeZone: "UTC" });
}

function longDay(at) {
  return new Date(at * 1000).toISOString().slice(0, 10);
}
