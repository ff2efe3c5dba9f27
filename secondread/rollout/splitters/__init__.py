"""How a share of the requests is given to a candidate: Envoy on one machine, KServe in its two modes."""
