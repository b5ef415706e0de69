%% Erlang: a process for each connection, which closes it when nothing has come for the timeout. It
%% reads beats, and answers none. Arguments: the port, and the timeout in ms.

-module(idle).
-export([start/1]).

start([Port, Timeout]) ->
    {ok, Listener} = gen_tcp:listen(list_to_integer(Port), [
        binary, {ip, {127, 0, 0, 1}}, {active, false}, {reuseaddr, true}, {backlog, 4096}
    ]),
    {ok, {_, Bound}} = inet:sockname(Listener),
    io:format("listening on 127.0.0.1:~b~n", [Bound]),
    accept(Listener, list_to_integer(Timeout)).

accept(Listener, Timeout) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Holder = spawn(fun() ->
        receive go -> hold(Socket, Timeout) end
    end),
    ok = gen_tcp:controlling_process(Socket, Holder),
    Holder ! go,
    accept(Listener, Timeout).

hold(Socket, Timeout) ->
    case inet:setopts(Socket, [{active, once}]) of
        ok ->
            receive
                {tcp, Socket, _Beat} -> hold(Socket, Timeout);
                {tcp_closed, Socket} -> ok;
                {tcp_error, Socket, _Reason} -> gen_tcp:close(Socket)
            after Timeout ->
                gen_tcp:close(Socket)
            end;
        {error, _Reason} ->
            gen_tcp:close(Socket)
    end.
