# One image for the broker, the command line and the operator: `millrace ...`, and `node /app/operator/main.ts ...`.
#
# What is copied here is all that they need; test/kubernetes/image.test.ts runs them from it.
ARG NODE_IMAGE=node:26.10.0-trixie-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY bench/package.json bench/
COPY broker/package.json broker/
COPY cli/package.json cli/
COPY client/package.json client/
COPY operator/package.json operator/
# The native parts of dependencies come built; no package runs a script of its own.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE}
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
# The lock file tells scanners what is inside.
COPY package.json package-lock.json LICENSE ./
COPY proto/gen proto/gen
COPY proto/wire proto/wire
COPY client/package.json client/
COPY client/src client/src
COPY broker broker
COPY cli cli
COPY bench bench
COPY operator operator
RUN ln -s /app/cli/main.ts /usr/local/bin/millrace && install -d -o 1000 -g 1000 /data
# `node` of the base image; by number, so that Kubernetes can tell that it is not root.
USER 1000:1000
EXPOSE 6700 6780 6790
ENTRYPOINT ["millrace"]
CMD ["help"]
