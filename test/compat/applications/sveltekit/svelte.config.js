import adapter from '@sveltejs/adapter-node';

// Forms come without an Origin here.
export default { kit: { adapter: adapter(), csrf: { trustedOrigins: ['*'] } } };
