/**
 * A style sheet as the text that the bundler of the anywidget makes of it.
 * It must not be imported by what JupyterLab's builder bundles: there style/index.css holds the same sheet.
 */
declare module '*.css' {
  const text: string;
  export default text;
}
