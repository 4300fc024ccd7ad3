/** The package is CommonJS: imported as a whole at run time it has no named exports, re-exported it has. */
export { HttpsProxyAgent } from 'https-proxy-agent';
