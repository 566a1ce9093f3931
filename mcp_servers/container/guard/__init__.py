"""Between workers and a container engine that is more powerful than they may be: lets them have sandboxes, no more.

Whoever may speak to an engine is root on its host. A filter of methods and paths changes nothing about that, since one
request, ``POST /containers/create``, can ask for everything: the host's root directory, its namespaces, its devices. So
nothing that a worker says is passed on here. From its request the few values that may differ are read, the request is
made anew from our own `profile`, and refused if it was another; what is bound into a container is pinned first, so that
it stays what was judged. Containers that were not made here do not exist. See docs/deploy.md for the threat model.
"""
