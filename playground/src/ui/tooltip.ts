// One floating note for elements that carry `data-tip`: follows the pointer, hides on scroll and Escape.
// It repeats what the element already says in other words, so that nothing depends on a pointer.

import { h } from './dom';

const note = h('div', { class: 'tip', role: 'presentation', hidden: true });

export function mountTooltips(): void {
  document.body.append(note);
  document.addEventListener('pointerover', (event) => {
    const target = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-tip]') : null;
    if (target) show(target);
    else hide();
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') hide();
  });
  document.addEventListener('scroll', hide, { capture: true, passive: true });
}

function show(target: HTMLElement): void {
  const lines = (target.dataset['tip'] ?? '').split('\n');
  note.replaceChildren(...lines.map((line, index) => h(index === 0 ? 'strong' : 'span', {}, line)));
  note.hidden = false;
  const box = target.getBoundingClientRect();
  const own = note.getBoundingClientRect();
  const left = Math.min(Math.max(8, box.left + box.width / 2 - own.width / 2), window.innerWidth - own.width - 8);
  const above = box.top - own.height - 8;
  note.style.left = `${left}px`;
  note.style.top = `${above > 8 ? above : box.bottom + 8}px`;
}

function hide(): void {
  note.hidden = true;
}
