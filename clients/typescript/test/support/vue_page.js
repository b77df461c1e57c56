// A page with Vue: the component of the README, and one that shows every id.

import { createApp, h, ref } from 'vue';

import { Client } from 'jobwire';
import { useJob } from 'jobwire/vue';

import Progress from './Progress.vue.ts';

const { url, job } = window.scenario;
const client = new Client({ url, backoff: { first: 50, most: 300 } });

const Ids = {
  props: ['id'],
  setup(props) {
    const shown = useJob(client, () => props.id, { keep: 10_000 });
    return () => h('pre', { id: 'one', 'data-state': shown.value.connection.state }, JSON.stringify(shown.value.events.map((event) => event.id ?? event.eventType)));
  },
};

const id = ref(job);
const isThere = ref(true);
Object.assign(window, { id, isThere });
createApp({ render: () => [isThere.value && h(Ids, { id: id.value }), h(Progress, { id: job })] }).mount('#root');
