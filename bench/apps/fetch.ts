export default {
  fetch(): Response {
    return new Response('Hello, world!', { headers: { 'Content-Type': 'text/plain' } });
  },
};
