// SPDX-License-Identifier: Apache-2.0

// One container: its declarations, its files, its problems, and its records as they are delivered.
import { say, sayOf, inert, language } from './texts.js';
import { number, duration, plot, mark } from './rows.js';
import { Tail } from './tail.js';

const $ = (id) => document.getElementById(id);

function element(tag, text, parent) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = inert(text);
  parent?.append(e);
  return e;
}

export class Details {
  constructor() {
    this.name = null;
    this.tail = new Tail();
    $('tail-log').addEventListener('change', () => this.tail.choose(this.wanted()));
    $('tail-start').addEventListener('click', () => this.tail.toggle(this.wanted()));
  }

  open(name) {
    if (this.name === name) return;
    this.tail.stop(true);
    this.name = name;
    this.answer = this.last = undefined;
    this.hours = () => undefined;
    $('details-name').textContent = inert(name || say('thisProcess'));
    for (const id of ['details-rows', 'details-files', 'details-problems', 'tail-log']) $(id).replaceChildren();
    this.known = '';
  }

  leave() {
    this.tail.stop(true);
    this.name = null;
  }

  // wanted is the log and output that is chosen to be followed.
  wanted() {
    const [log, output] = JSON.parse($('tail-log').value || '["",""]');
    return { container: this.name, log, output };
  }

  speak() {
    if (this.name === null) return;
    if (!this.name) $('details-name').textContent = say('thisProcess');
    this.last = undefined;
    this.show(this.name, this.answer, this.hours);
    this.tail.speak();
  }

  // show shows the answer of /api/container; null says that there is no such container.
  show(name, answer, hours) {
    if (name !== this.name || answer === undefined) return;
    this.answer = answer;
    this.hours = hours;
    if (answer === null) {
      $('details-problems').replaceChildren(element('li', say('goneContainer')));
      return;
    }
    const { now, ...rest } = answer;
    const text = JSON.stringify([rest, language(), answer.rows.map((r) => hours(r))]);
    if (text === this.last) return; // what somebody selects, or a screen reader reads, stays as it is
    this.last = text;
    $('details-rows').replaceChildren(...answer.rows.map((r) => this.card(r, answer)));
    $('details-files').replaceChildren(...answer.files.map((f) => this.file(f)));
    $('details-omitted').hidden = !answer.omitted;
    $('details-omitted').textContent = say('omitted', number(answer.omitted));
    $('details-problems').replaceChildren(...answer.problems.map((p) => {
      const li = element('li', `${say(p.warning ? 'warning' : 'error')}: ${p.key}: ${p.message}${p.code ? ` (${p.code})` : ''}`);
      li.className = p.warning ? 'odd' : 'bad';
      return li;
    }));
    if (!answer.problems.length) $('details-problems').replaceChildren(element('li', say('none')));
    this.logs(answer.rows.filter((r) => r.o));
  }

  logs(rows) {
    const pairs = rows.map((r) => [JSON.stringify([r.d, r.o]), `${r.d} → ${r.o}`]);
    const known = JSON.stringify(pairs);
    if (known === this.known) return;
    this.known = known;
    const chosen = $('tail-log').value;
    $('tail-log').replaceChildren(...pairs.map(([value, text]) => new Option(inert(text), value)));
    $('tail-log').value = chosen;
    if ($('tail-log').selectedIndex < 0 && pairs.length) $('tail-log').selectedIndex = 0;
  }

  card(r, answer) {
    const li = document.createElement('li');
    element('h3', r.o ? `${r.d} → ${r.o}` : r.d, li);
    const state = element('p', sayOf('states', r.state) || r.state, li);
    mark(state, r.state);
    if (r.reason) state.textContent += ': ' + inert(r.reason) + (r.code ? ` (${r.code})` : '');
    const advice = sayOf('advices', r.state);
    if (advice) element('p', `${say('advice')}: ${advice}`, li);
    const minutes = this.hours(r);
    if (minutes) li.append(plot(minutes));
    const dl = element('dl', undefined, li);
    const pair = (name, value) => {
      if (value === undefined || value === '') return;
      const div = element('div', undefined, dl);
      element('dt', say(name), div);
      element('dd', value, div);
    };
    const declared = answer.declarations.filter((d) => d.name === r.d);
    pair('source', (r.src ?? []).join(', '));
    pair('target', r.target);
    pair('format', declared[0]?.format);
    pair('where', declared.map((d) => d.where).filter(Boolean).join('; '));
    pair('read', number(r.read));
    pair('sent', number(r.sent));
    pair('queued', number(r.queued));
    pair('dropped', number(r.dropped));
    pair('refusedRecords', number(r.refused));
    pair('parkedRecords', number(r.parked));
    pair('lagSeconds', duration(r.lags));
    pair('lagBytes', number(r.lagb));
    pair('since', r.since && new Date(r.since).toLocaleString(language()));
    pair('lastError', r.error && (r.at ? `${new Date(r.at).toLocaleString(language())}: ${r.error}` : r.error));
    return li;
  }

  file(f) {
    const tr = document.createElement('tr');
    element('td', f.declaration, tr);
    element('td', f.path, tr);
    element('td', number(f.offset), tr).className = 'number';
    element('td', number(f.size), tr).className = 'number';
    element('td', sayOf('fileStates', f.state) || f.state, tr);
    return tr;
  }
}
