import { resolve } from 'node:path';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

/** GraphiQL's style sheet carries Roboto and Fira Code, a third of a megabyte; the fonts of the system do as well. */
function withoutEmbeddedFonts(): Plugin {
  return {
    name: 'without-embedded-fonts',
    enforce: 'pre',
    transform(code, id) {
      if (!id.includes('/graphiql/dist/style.css')) return null;
      return { code: code.replaceAll(/@font-face\s*\{[^}]*\}/g, (face) => (face.includes('codicon') ? face : '')), map: null };
    },
  };
}

// Two pages: the dashboard without React, and GraphiQL with everything it needs.
export default defineConfig({
  base: './',
  plugins: [withoutEmbeddedFonts(), react()],
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 8_000,
    rollupOptions: {
      input: {
        index: resolve(import.meta.dirname, 'index.html'),
        graphiql: resolve(import.meta.dirname, 'graphiql.html'),
      },
    },
  },
  server: {
    proxy: { '/graphql': { target: process.env['KOHORTA_URL'] ?? 'http://127.0.0.1:8000', ws: true } },
  },
});
