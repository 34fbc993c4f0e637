// Says on which port an application of these tests listens.
export function listening(server) {
  const say = () => console.log(`listening on http://127.0.0.1:${server.address().port}`)
  if (server.listening) say()
  else server.on("listening", say)
}
