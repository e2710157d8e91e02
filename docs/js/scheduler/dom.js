// The few lines that make elements. Text is text: nothing here reads markup.

/** h("p", {class: "x", onclick: f}, "text", child): an element. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else set(element, name, value);
  }
  element.append(...children);
  return element;
}

/** Set an attribute; null and false take it off. */
export function set(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value === true ? "" : value);
  }
}

/** Write text, only if it is another one: a live region repeats what is written. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
