/**
 * Tests of the browser side that need no browser: pure logic, and the DOM as far as happy-dom has one.
 * They must not draw: plotly.js is replaced by a stand-in, and what is drawn is tested in Chromium.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: { environment: 'happy-dom', include: ['src/**/*.test.ts'], restoreMocks: true },
  resolve: {
    alias: [
      { find: /^\.\/plotly$/, replacement: fileURLToPath(new URL('src/view/testing/plotly.ts', import.meta.url)) }
    ]
  }
});
