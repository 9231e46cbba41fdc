// SPDX-License-Identifier: Apache-2.0

// Asks Remora every two seconds, while the page is visible, and shows the overview or one container.
import { texts, say, sayOf, translate, language, setLanguage, theme, store, inert } from './texts.js';
import { Rows, number, duration } from './rows.js';
import { Details } from './details.js';

const $ = (id) => document.getElementById(id);
const every = 2000;

let rates = new Map(); // last hours, by key
let ratesAt = 0;
let before = new Map(); // records read, by key, at
let beforeAt = 0;
let latest = null; // answer of /api/overview
let failedSince = null;
let timer = 0;
let asking = null;

const rows = new Rows($('rows'), (shown, all) => set($('count'), say('count', number(shown), number(all))));
const details = new Details();

function set(element, text) { if (element.textContent !== text) element.textContent = text; }

const keyOf = (r) => JSON.stringify([r.c, r.d, r.o]);

async function get(path, signal) {
  const answer = await fetch(path, { signal, headers: { Accept: 'application/json' } });
  if (answer.status === 401) {
    location.reload(); // the session is over: the form comes
    throw new Error('the session is over');
  }
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

function route() {
  const match = location.hash.match(/^#\/container\/(.*)$/);
  if (!match) return null;
  try { return decodeURIComponent(match[1]); } catch { return null; }
}

// ask gets what the view that is open needs, and asks again later.
async function ask() {
  clearTimeout(timer);
  asking?.abort();
  if (document.hidden) return;
  asking = new AbortController();
  const signal = AbortSignal.any([asking.signal, AbortSignal.timeout(20000)]);
  const mine = asking;
  try {
    const name = route();
    if (performance.now() - ratesAt > 30000 || !ratesAt) {
      const all = await get('/api/rates', signal);
      ratesAt = performance.now();
      const next = new Map();
      for (const r of all) next.set(keyOf(r), r.m);
      rates = next;
    }
    if (name === null) showOverview(await get('/api/overview', signal));
    else details.show(name, await get('/api/container?name=' + encodeURIComponent(name), signal), (r) => rates.get(keyOf(r)));
    failedSince = null;
    showFailure();
  } catch {
    if (mine.signal.aborted) return; // another one was begun
    failedSince ??= new Date();
    showFailure();
  }
  timer = setTimeout(ask, latest && latest.rows.length > 1000 ? 2 * every : every);
}

function showFailure() {
  $('failure').hidden = failedSince === null;
  if (failedSince) set($('failure'), say('noAnswer', failedSince.toLocaleTimeString(language())));
}

function showOverview(o) {
  const seconds = (Date.parse(o.now) - beforeAt) / 1000;
  const counted = new Map();
  for (const r of o.rows) {
    r.key = keyOf(r);
    r.why = r.reason || r.error || '';
    r.text = [r.c, r.d, r.o, r.why, r.code, ...(r.src ?? [])].join(' ').toLowerCase();
    r.minutes = rates.get(r.key);
    const old = before.get(r.key);
    r.rate = old === undefined || seconds <= 0 ? 0 : Math.max(0, r.read - old) / seconds;
    counted.set(r.key, r.read);
  }
  before = counted;
  beforeAt = Date.parse(o.now);
  latest = o;
  rows.set(o.rows);
  draw();
}

// draw writes what is around the table.
function draw() {
  const o = latest;
  if (!o) return;
  const up = duration((Date.parse(o.now) - Date.parse(o.started)) / 1000);
  set($('process'), say('process', inert(o.version), up) + (o.ready ? '' : ' — ' + say('starting')));
  $('logout').hidden = !o.token;
  const faults = o.faults.map((f) => `${say('fault')} ${f.component}: ${f.message}`);
  if (o.stalled) faults.unshift(`${say('fault')}: ${o.stalled}`);
  list($('faults'), faults);
  $('faults').hidden = faults.length === 0;
  list($('outputs'), (o.outputs ?? []).map((x) => (x.error
    ? { text: `${x.name}: ${say('fails', new Date(x.since).toLocaleString(language()), x.error)}`, mark: 'bad' }
    : { text: `${x.name}: ${say('takes')}`, mark: 'good' })));
  choices($('state'), [...new Set(o.rows.map((r) => r.state))].sort().map((s) => [s, sayOf('states', s) || s]));
  choices($('output'), [...new Set(o.rows.map((r) => r.o))].filter(Boolean).sort().map((x) => [x, inert(x)]));
}

// list shows texts as items, and touches those alone that changed.
function list(ul, items) {
  while (ul.children.length > items.length) ul.lastChild.remove();
  items.forEach((item, i) => {
    const li = ul.children[i] ?? ul.appendChild(document.createElement('li'));
    set(li, inert(item.text ?? item));
    li.className = item.mark ?? '';
  });
}

// choices fills a select and keeps what is chosen.
function choices(select, pairs) {
  const wanted = JSON.stringify([language(), pairs]);
  if (select.dataset.pairs === wanted) return;
  select.dataset.pairs = wanted;
  const chosen = select.value;
  select.replaceChildren(...[['', say('any')], ...pairs].map(([value, text]) => new Option(text, value)));
  select.value = chosen;
  if (select.selectedIndex < 0) select.value = '';
}

function open() {
  const name = route();
  $('overview').hidden = name !== null;
  $('details').hidden = name === null;
  document.title = name === null ? 'Remora' : `${inert(name || say('thisProcess'))} – Remora`;
  if (name === null) {
    details.leave();
    rows.draw();
  } else details.open(name);
  ask();
}

$('search').addEventListener('input', () => { rows.filter.text = $('search').value; rows.choose(); });
$('state').addEventListener('change', () => { rows.filter.state = $('state').value; rows.choose(); });
$('output').addEventListener('change', () => { rows.filter.output = $('output').value; rows.choose(); });
$('language').addEventListener('change', () => { setLanguage($('language').value); speak(); });
$('theme').addEventListener('change', () => {
  const to = $('theme').value;
  store('remora.theme', to);
  if (to === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = to;
});
window.addEventListener('hashchange', () => { open(); $('main').focus({ preventScroll: true }); window.scrollTo(0, 0); });
document.addEventListener('visibilitychange', () => (document.hidden ? asking?.abort() : ask()));

function speak() {
  translate(document);
  $('language').value = language();
  rows.label();
  rows.choose();
  details.speak();
  draw();
  showFailure();
}

$('theme').value = theme();
if (!(language() in texts)) setLanguage('en');
speak();
open();
