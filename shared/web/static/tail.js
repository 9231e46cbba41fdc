// SPDX-License-Identifier: Apache-2.0

// The live tail: records as they come, drawn once a frame, the last thousand of them.
import { say, inert } from './texts.js';
import { number } from './rows.js';

const $ = (id) => document.getElementById(id);
const most = 1000;

export class Tail {
  constructor() {
    this.source = null;
    this.waiting = [];
    this.missed = 0;
    this.list = $('tail');
    $('tail-clear').addEventListener('click', () => this.clear());
  }

  clear() {
    this.waiting = [];
    this.missed = 0;
    this.list.replaceChildren();
  }

  toggle(wanted) {
    if (this.source) this.stop();
    else this.start(wanted);
  }

  choose(wanted) {
    if (!this.source) return;
    this.stop();
    this.clear();
    this.start(wanted);
  }

  start(wanted) {
    this.source = new EventSource('/api/tail?' + new URLSearchParams(wanted));
    this.source.onopen = () => this.tell('tailing');
    this.source.onerror = () => this.tell('ended');
    this.source.onmessage = (e) => this.take(e.data);
    this.source.addEventListener('missed', (e) => { this.missed += Number(e.data); this.schedule(); });
    this.speak();
  }

  stop(clear) {
    this.source?.close();
    this.source = null;
    if (clear) this.clear();
    this.tell(clear ? '' : 'tailOff');
    this.speak();
  }

  tell(key) {
    this.told = key;
    $('tail-state').textContent = key ? say(key) : '';
  }

  speak() {
    $('tail-start').textContent = say(this.source ? 'stop' : 'start');
    $('tail-start').setAttribute('aria-pressed', String(!!this.source));
    this.list.setAttribute('aria-label', say('tail'));
    if (this.told) this.tell(this.told);
  }

  take(data) {
    this.waiting.push(data);
    if (this.waiting.length > most) this.waiting.splice(0, this.waiting.length - most);
    this.schedule();
  }

  schedule() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.draw(); });
  }

  draw() {
    const end = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    const added = this.waiting.map((data) => this.item(data));
    this.waiting = [];
    if (this.missed) {
      const line = document.createElement('div');
      line.className = 'missed';
      line.textContent = say('missed', number(this.missed));
      added.push(line);
      this.missed = 0;
    }
    this.list.append(...added);
    while (this.list.children.length > most) this.list.firstChild.remove();
    if (end) this.list.scrollTop = this.list.scrollHeight;
  }

  item(data) {
    const line = document.createElement('div');
    let event;
    try { event = JSON.parse(data); } catch { return line; }
    const { '@timestamp': time, ...rest } = event.record;
    const at = document.createElement('time');
    at.textContent = inert(time ?? '');
    const { message, log } = rest;
    const text = typeof message === 'string' ? message : typeof log === 'string' ? log : JSON.stringify(rest);
    const bdi = document.createElement('bdi');
    bdi.textContent = inert(text) + (event.shortened ? ' …' : '');
    line.append(at, bdi);
    return line;
  }
}
