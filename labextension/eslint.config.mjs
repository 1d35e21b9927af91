/**
 * What eslint asks of the browser side: the strict rules of TypeScript with types, short files and short functions.
 * It must not judge layout: prettier does.
 */
import eslint from '@eslint/js';
import hooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['lib/', 'node_modules/', 'stubs/', '.yarn/'] },
  eslint.configs.recommended,
  {
    files: ['src/**/*.ts', 'src/**/*.tsx'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.test.json', tsconfigRootDir: import.meta.dirname }
    },
    plugins: { 'react-hooks': hooks },
    rules: {
      ...hooks.configs.recommended.rules,
      '@typescript-eslint/explicit-function-return-type': ['error', { allowExpressions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      eqeqeq: 'error',
      'max-lines': ['error', { max: 500 }],
      'max-lines-per-function': ['error', { max: 60 }],
      'no-restricted-syntax': [
        'error',
        { selector: "CallExpression[callee.object.name='console']", message: 'Say it to the person instead.' }
      ]
    }
  },
  {
    files: ['src/view/**/*.ts', 'src/widget.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: [{ regex: '^@(jupyterlab|lumino)/|^react', message: 'The view also lives outside JupyterLab.' }] }
      ]
    }
  },
  {
    // A suite is one function that holds many short ones.
    files: ['src/**/*.test.ts'],
    rules: { 'max-lines-per-function': 'off' }
  },
  {
    files: ['build/**', '*.mjs'],
    languageOptions: { globals: { console: 'readonly', process: 'readonly', URL: 'readonly' } }
  }
);
