export const CERT: string;
export const KEY: string;
