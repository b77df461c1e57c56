// Holds objects of custom kinds, a JSON array on standard input, against the schemas of their
// projects. Writes what they refuse as a JSON array of sentences.
import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";
import { text } from "node:stream/consumers";

const kinds = { HTTPRoute, PrometheusRule, ServiceMonitor };

function refusal(object) {
  const Kind = kinds[object.kind];
  if (!Kind) return `no schema of ${object.kind}`;
  try {
    new Kind(object).validate();
    return null;
  } catch (error) {
    return `${object.kind} ${object.metadata.name}: ${error.message}`;
  }
}

const objects = JSON.parse(await text(process.stdin));
process.stdout.write(JSON.stringify(objects.map(refusal)));
