import 'uplot/dist/uPlot.min.css';
import './page.css';

import { render } from 'preact';

import { App } from './app.js';
import { JobList } from './list.js';
import { Session } from './session.js';

const session = new Session();
let listChanged = () => {};
const list = new JobList(session, () => listChanged());
render(<App session={session} list={list} onListChanged={(call) => (listChanged = call)} />, document.querySelector('#page')!);
