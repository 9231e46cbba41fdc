// SPDX-License-Identifier: Apache-2.0

// The table of rows: sorted, filtered, and drawn only as far as it is seen, so that thousands of rows cost what thirty do.
// Elements are used again, and a screen reader is told which row of how many each one is.
import { say, sayOf, inert, language } from './texts.js';

const severity = ['left_out', 'no_match', 'ended', 'done', 'sending', 'behind', 'slowed', 'parked', 'unreadable', 'waiting', 'failing', 'refused'];
const bad = new Set(['refused', 'failing', 'unreadable']);
const odd = new Set(['waiting', 'parked', 'slowed', 'behind', 'no_match']);

const by = (key) => (a, b) => a[key] - b[key];
const text = (key) => (a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0);

// columns: the text of the head, how to compare, how to draw, and whether it is a number.
const columns = [
  { id: 'container', compare: text('c'), draw: drawContainer },
  { id: 'log', compare: text('d'), draw: (td, r) => write(td, r.d, !r.c && containerLink(r)) },
  { id: 'output', compare: text('o'), draw: (td, r) => write(td, r.o) },
  { id: 'state', compare: (a, b) => severity.indexOf(a.state) - severity.indexOf(b.state), draw: drawState },
  { id: 'reason', compare: text('why'), draw: (td, r) => write(td, r.why) },
  { id: 'rate', compare: by('rate'), draw: (td, r) => write(td, number(r.rate)), number: true },
  { id: 'hour', compare: (a, b) => total(a) - total(b), draw: drawPlot },
  { id: 'lagSeconds', compare: by('lags'), draw: (td, r) => write(td, duration(r.lags)), number: true },
  { id: 'lagBytes', compare: by('lagb'), draw: (td, r) => write(td, number(r.lagb)), number: true },
  { id: 'read', compare: by('read'), draw: (td, r) => write(td, number(r.read)), number: true },
  { id: 'sent', compare: by('sent'), draw: (td, r) => write(td, number(r.sent)), number: true },
  { id: 'queued', compare: by('queued'), draw: (td, r) => write(td, number(r.queued)), number: true },
  { id: 'dropped', compare: by('dropped'), draw: (td, r) => write(td, number(r.dropped)), number: true },
  { id: 'refusedRecords', compare: by('refused'), draw: (td, r) => write(td, number(r.refused)), number: true },
  { id: 'parkedRecords', compare: by('parked'), draw: (td, r) => write(td, number(r.parked)), number: true },
];

export function number(n) { return new Intl.NumberFormat(language()).format(Math.round(n)); }

export function duration(seconds) {
  if (seconds < 100) return seconds.toFixed(seconds < 10 ? 1 : 0) + ' s';
  if (seconds < 6000) return Math.round(seconds / 60) + ' min';
  if (seconds < 172800) return Math.round(seconds / 3600) + ' h';
  return Math.round(seconds / 86400) + ' d';
}

const total = (r) => (r.minutes ? r.minutes.reduce((a, b) => a + b, 0) : 0);

function write(td, value, link) {
  value = inert(value ?? '');
  const holder = link ? anchor(td, link) : td;
  if (!link && td.firstElementChild) td.replaceChildren();
  if (holder.textContent !== value) holder.textContent = value;
}

function anchor(td, link) {
  let a = td.firstElementChild;
  if (!a || a.tagName !== 'A') {
    a = document.createElement('a');
    td.replaceChildren(a);
  }
  if (a.getAttribute('href') !== link) a.setAttribute('href', link);
  return a;
}

export function containerLink(r) { return '#/container/' + encodeURIComponent(r.c); }

function drawContainer(td, r) { write(td, r.c, r.c && containerLink(r)); }

export function mark(element, state) {
  element.classList.toggle('bad', bad.has(state));
  element.classList.toggle('odd', odd.has(state));
  element.classList.toggle('good', state === 'done' || state === 'sending');
}

function drawState(td, r) {
  write(td, sayOf('states', r.state) || r.state);
  mark(td, r.state);
}

const svg = 'http://www.w3.org/2000/svg';

// plot draws an hour: a picture, and what it says for those who don't see it.
export function plot(minutes) {
  const picture = document.createElementNS(svg, 'svg');
  picture.setAttribute('class', 'plot');
  picture.setAttribute('viewBox', '0 0 60 12');
  picture.setAttribute('preserveAspectRatio', 'none');
  picture.setAttribute('role', 'img');
  const line = document.createElementNS(svg, 'polyline');
  picture.append(line);
  redraw(picture, minutes);
  return picture;
}

function redraw(picture, minutes) {
  const most = Math.max(1, ...minutes);
  const from = 60 - minutes.length;
  picture.firstChild.setAttribute('points', minutes.map((n, i) => `${from + i},${(11.5 - (n / most) * 11).toFixed(1)}`).join(' '));
  const sum = minutes.reduce((a, b) => a + b, 0);
  picture.setAttribute('aria-label', sum ? say('plot', number(sum), number(most)) : say('noPlot'));
}

function drawPlot(td, r) {
  if (!r.minutes) {
    td.replaceChildren();
    td.minutes = undefined;
    return;
  }
  if (td.minutes === r.minutes && td.language === language()) return;
  if (td.firstElementChild) redraw(td.firstElementChild, r.minutes);
  else td.replaceChildren(plot(r.minutes));
  td.minutes = r.minutes;
  td.language = language();
}

const overscan = 10;

export class Rows {
  constructor(region, changed) {
    this.region = region;
    this.table = region.querySelector('table');
    this.changed = changed; // is told how many of how many are shown
    this.all = [];
    this.shown = [];
    this.filter = { text: '', state: '', output: '' };
    this.order = { id: 'state', down: true };
    this.height = 33;
    this.used = new Map(); // rows by key
    this.above = this.space();
    this.below = this.space();
    this.body = this.table.tBodies[0];
    this.body.append(this.above, this.below);
    this.withContainers = true;
    this.head();
    region.addEventListener('scroll', () => this.schedule(), { passive: true });
    new ResizeObserver(() => { this.height = 0; this.schedule(); }).observe(region);
  }

  space() {
    const tr = document.createElement('tr');
    tr.className = 'space';
    tr.setAttribute('aria-hidden', 'true');
    tr.append(document.createElement('td'));
    return tr;
  }

  columns() { return columns.filter((c) => this.withContainers || c.id !== 'container'); }

  head() {
    const tr = document.createElement('tr');
    tr.setAttribute('aria-rowindex', '1');
    for (const c of this.columns()) {
      const th = document.createElement('th');
      th.scope = 'col';
      if (c.number) th.className = 'number';
      const button = document.createElement('button');
      button.type = 'button';
      button.dataset.column = c.id;
      button.addEventListener('click', () => this.sort(c));
      th.append(button);
      tr.append(th);
    }
    this.table.tHead.replaceChildren(tr);
    for (const s of [this.above, this.below]) s.firstChild.colSpan = this.columns().length;
    this.used.forEach((tr) => tr.remove());
    this.used.clear();
    this.label();
  }

  label() {
    for (const button of this.table.tHead.querySelectorAll('button')) {
      const mine = button.dataset.column === this.order.id;
      button.textContent = say(button.dataset.column) + (mine ? (this.order.down ? ' ▾' : ' ▴') : '');
      if (mine) button.parentElement.setAttribute('aria-sort', this.order.down ? 'descending' : 'ascending');
      else button.parentElement.removeAttribute('aria-sort');
    }
  }

  sort(column) {
    const first = !!column.number || column.id === 'state' || column.id === 'hour';
    this.order = { id: column.id, down: this.order.id === column.id ? !this.order.down : first };
    this.label();
    this.choose();
  }

  // set shows rows, which have a key each, in place of those before.
  set(rows) {
    this.all = rows;
    const some = rows.some((r) => r.c) || rows.length === 0;
    if (some !== this.withContainers) {
      this.withContainers = some;
      this.head();
    }
    this.choose();
  }

  // choose filters and sorts.
  choose() {
    const { text: wanted, state, output } = this.filter;
    const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown = this.all.filter((r) => (!state || r.state === state) && (!output || r.o === output) && words.every((w) => r.text.includes(w)));
    const column = columns.find((c) => c.id === this.order.id);
    const sign = this.order.down ? -1 : 1;
    this.shown.sort((a, b) => sign * column.compare(a, b) || (a.key < b.key ? -1 : 1));
    this.table.setAttribute('aria-rowcount', String(this.shown.length + 1));
    this.changed(this.shown.length, this.all.length);
    this.draw();
  }

  schedule() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    if (this.region.offsetParent === null) return;
    if (!this.height) this.height = 33;
    const seen = this.region.clientHeight || 600;
    const top = Math.max(0, Math.min(this.region.scrollTop, this.shown.length * this.height - seen));
    const first = Math.max(0, Math.floor(top / this.height) - overscan);
    const last = Math.min(this.shown.length, Math.ceil((top + seen) / this.height) + overscan);
    const wanted = new Map();
    for (let i = first; i < last; i++) wanted.set(this.shown[i].key, i);
    const spare = [];
    for (const [key, tr] of this.used) {
      if (!wanted.has(key)) {
        this.used.delete(key);
        if (tr.contains(document.activeElement)) this.region.focus({ preventScroll: true });
        spare.push(tr);
      }
    }
    let after = this.above;
    for (let i = first; i < last; i++) {
      const r = this.shown[i];
      let tr = this.used.get(r.key);
      if (!tr) {
        tr = spare.pop() ?? this.make();
        this.used.set(r.key, tr);
      }
      this.fill(tr, r, i);
      if (after.nextSibling !== tr) after.after(tr);
      after = tr;
    }
    for (const tr of spare) tr.remove();
    this.above.firstChild.style.height = first * this.height + 'px';
    this.below.firstChild.style.height = (this.shown.length - last) * this.height + 'px';
    const real = after === this.above ? 0 : after.getBoundingClientRect().height;
    if (real && Math.abs(real - this.height) > 0.5) {
      this.height = real;
      this.schedule();
    }
  }

  make() {
    const tr = document.createElement('tr');
    this.columns().forEach((c) => {
      const td = document.createElement('td');
      if (c.number) td.className = 'number';
      tr.append(td);
    });
    return tr;
  }

  fill(tr, r, i) {
    const index = String(i + 2);
    if (tr.getAttribute('aria-rowindex') !== index) tr.setAttribute('aria-rowindex', index);
    if (tr.row === r && tr.language === language()) return;
    this.columns().forEach((c, n) => c.draw(tr.cells[n], r));
    tr.row = r;
    tr.language = language();
  }
}
