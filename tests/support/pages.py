"""Scripts that tests run in a page before the page's own."""

# Half a second stands for the seconds that the page waits for an answer, however it
# measures them.
SHORT_WAITS = """
const short = (wait) => Math.min(wait, 500);
const { timeout } = AbortSignal;
AbortSignal.timeout = (wait) => timeout.call(AbortSignal, short(wait));
const { setTimeout } = window;
window.setTimeout = (done, wait, ...rest) => setTimeout(done, short(wait), ...rest);
const { set } = Object.getOwnPropertyDescriptor(XMLHttpRequest.prototype, "timeout");
Object.defineProperty(XMLHttpRequest.prototype, "timeout", {
  set(wait) { set.call(this, short(wait)); },
});
"""
