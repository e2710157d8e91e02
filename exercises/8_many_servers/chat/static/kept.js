// What you have typed and nobody has heard yet is kept in this tab, over a reload and
// over a login. It is shown in this room only, and to you. That hides it from no one who
// looks into the browser: it goes with the tab.

const me = document.getElementById("chat-user").textContent;
const room = document.getElementById("chat-renew").textContent;

export function keep(what, value) {
  try {
    sessionStorage.setItem(`${what} ${me} ${room}`, JSON.stringify(value));
  } catch (error) {
    console.info(error); // The browser may not want to keep anything.
  }
}

export function kept(what, otherwise) {
  try {
    return JSON.parse(sessionStorage.getItem(`${what} ${me} ${room}`)) ?? otherwise;
  } catch (error) {
    console.info(error);
    return otherwise;
  }
}
