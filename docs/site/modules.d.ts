// What the bundler makes of files that are not programs.

declare module '*.mdx' {
  const Content: (properties: { components: Record<string, unknown> }) => React.JSX.Element;
  export default Content;
}

declare module '*.svg?url' {
  const address: string;
  export default address;
}
