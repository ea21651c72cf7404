# npm ci && npm run build && docker build -t nodemesh:dev .
# One image for the daemon, the webhook and the example; each manifest names its command.
FROM node:26-slim
ENV NODE_ENV=production
WORKDIR /app
COPY dist/app /app
USER 65532:65532
ENTRYPOINT ["node"]
