// What the demo's pages have in common.

export const $ = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const { className, ...attributes } = properties;
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

export const chip = (text, kind) => element('span', { className: `chip ${kind}` }, text);
export const clock = (date) => date.toLocaleTimeString('en-GB');
/** What tells tokens of one session apart is at their end. */
export const shortened = (token) => (token.length > 32 ? `${token.slice(0, 8)}…${token.slice(-8)}` : token);

export function copyButton(text, what) {
  const button = element('button', { className: 'copy', type: 'button', 'aria-label': `Copy ${what}` }, 'copy');
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'copied';
    } catch {
      button.textContent = 'not allowed';
    }
    setTimeout(() => { button.textContent = 'copy'; }, 1500);
  });
  return button;
}

/** A JWT's header and claims. */
export const decoded = (token) => token.split('.').slice(0, 2).map((part) => {
  const binary = atob(part.replaceAll('-', '+').replaceAll('_', '/'));
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0))));
});

/** The members of an object, for a `dl`; times also as people read them. */
export const rows = (members) => Object.entries(members).flatMap(([name, value]) => {
  const time = ['iat', 'exp', 'auth_time'].includes(name) ? ` (${clock(new Date(value * 1000))})` : '';
  return [element('dt', {}, name), element('dd', { className: 'mono' }, `${JSON.stringify(value)}${time}`)];
});
