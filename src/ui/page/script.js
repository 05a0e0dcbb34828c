'use strict';
(() => {
  const one = (id) => document.getElementById(id);
  const body = one('table').tBodies[0];
  const rows = [...body.rows];
  const words = rows.map((row) => row.textContent.toLowerCase());
  // What shows a task elsewhere fades where its row is not shown.
  const others = new Map();
  for (const mark of document.querySelectorAll('[data-t]')) {
    if (!others.has(mark.dataset.t)) others.set(mark.dataset.t, []);
    others.get(mark.dataset.t).push(mark);
  }
  const form = one('controls');
  const find = one('find');
  const node = one('node');
  form.hidden = false;

  const filter = () => {
    const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Set([...form.querySelectorAll('[name=state]:checked')].map((box) => box.value));
    let count = 0;
    rows.forEach((row, at) => {
      const shown = wanted.every((word) => words[at].includes(word)) &&
        (!states.size || states.has(row.dataset.state)) &&
        (!node || !node.value || node.value === row.dataset.node);
      row.hidden = !shown;
      if (shown) count += 1;
      for (const mark of others.get(row.id.slice(2)) || []) mark.classList.toggle('off', !shown);
    });
    one('shown').value = count === rows.length ? `${count} tasks` : `${count} of ${rows.length} tasks`;
  };
  form.addEventListener('input', filter);
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('reset', () => setTimeout(filter));

  const value = (row, column) => {
    const cell = row.cells[column];
    if (!('v' in cell.dataset)) return cell.textContent;
    return cell.dataset.v === '' ? null : Number(cell.dataset.v);
  };
  const compare = new Intl.Collator(undefined, { numeric: true }).compare;
  const heads = [...one('table').tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending';
    for (const other of heads) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    const keyed = rows.map((row) => [value(row, column), row]);
    // What has no value stands last, whichever way.
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === 'number' ? a - b : compare(a, b);
      return down ? -order : order;
    });
    body.append(...keyed.map(([, row]) => row));
  }));

  const reveal = () => {
    const row = /^#t-\d+$/.test(location.hash) && one(location.hash.slice(1));
    if (row && row.hidden) {
      form.reset();
      filter();
    }
    if (row) row.scrollIntoView({ block: 'center' });
  };
  addEventListener('hashchange', reveal);
  addEventListener('keydown', (event) => {
    const typing = event.target.matches('input, select, textarea');
    if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      find.focus();
    } else if (event.key === 'Escape' && event.target === find) {
      find.value = '';
      filter();
    }
  });

  const theme = one('theme');
  theme.hidden = false;
  theme.addEventListener('click', () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
  });
  filter();
  reveal();
})();
