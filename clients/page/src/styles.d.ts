// Style sheets are part of the build.
declare module '*.css';
