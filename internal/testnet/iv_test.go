package testnet
import ("testing";"time")
func TestIV(t *testing.T){
 o:=small; o.VotingInterval=10*time.Second; o.Auths=3
 n:=ForTest(t,o)
 a,_:=n.find("auth1")
 seen:=map[string]bool{}
 err:=poll(deadline(t,60*time.Second),"3 consensuses",func()(bool,error){
  s,err:=fetch(t.Context(),a,consensusPath); if err!=nil{return false,nil}
  sm:=summarise(s); if !seen[sm.valid[0]]{seen[sm.valid[0]]=true; t.Log(sm.valid, sm.counts(), sm.signatures)}
  return len(seen)>=4,nil})
 if err!=nil{t.Fatal(err)}
}
