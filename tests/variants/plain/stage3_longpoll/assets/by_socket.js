(function () {
	'use strict'

	var socket

	function open() {
		socket = new WebSocket(talk.address)
		socket.onopen = talk.online
		socket.onclose = function () { talk.fails(open) }
		socket.onmessage = function (event) {
			talk.works()
			talk.hear(event.data)
		}
	}

	talk.listen(function (words) {
		if (socket.readyState !== WebSocket.OPEN) return false
		socket.send(words)
		return true
	})

	open()
})()
