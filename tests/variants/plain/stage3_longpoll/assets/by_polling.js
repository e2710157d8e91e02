(function () {
	'use strict'

	var after = -1

	// One request. `answered` gets the reply, `failed` whether it was given up.
	function send(method, query, body, seconds, answered, failed) {
		var request = new XMLHttpRequest()
		request.open(method, talk.address + query)
		request.responseType = 'json'
		request.timeout = seconds * 1000
		request.onload = function () {
			var reply = request.response
			if (request.status === 200 && reply) answered(reply)
			else failed(false)
		}
		request.onerror = function () { failed(false) }
		request.ontimeout = function () { failed(true) }
		request.send(body)
	}

	function ask(cursor, seconds, answered, failed) {
		send('GET', '?lastupdate=' + cursor, null, seconds, answered, failed)
	}

	function failed() { talk.fails(greet) }

	function greet() {
		ask(-1, 8, function (reply) {
			talk.hear(reply.data)
			after = Math.max(after, reply.timestamp)
			poll()
		}, failed)
	}

	function poll() {
		talk.online()
		ask(after, 20, function (reply) {
			talk.works()
			talk.hear(reply.data)
			after = reply.timestamp
			poll()
		}, function (late) {
			// Nobody said anything, or the server hangs. One that greets does not.
			if (late) ask(-1, 8, poll, failed)
			else failed()
		})
	}

	var waiting = []

	function post() {
		var body = new URLSearchParams({ new_message: waiting[0] })
		send('POST', '', body, 8, function () {
			waiting.shift()
			if (waiting.length) post()
		}, function () {
			waiting.splice(0).forEach(talk.unsent)
		})
	}

	talk.listen(function (words) {
		if (waiting.push(words) === 1) post()
		return true
	})

	greet()
})()
